"""Whether the arm is as it must be: torques and speeds against their limits, reading by reading."""

from __future__ import annotations

import numpy as np

from vla_arm.arx5.library import Reading
from vla_arm.arx5.wire import ChildConfig

OVER = 3
"""Readings in a row over a limit that stop the arm: about 12 ms, as the child reads every 4 ms. The
library deadlocks after 20 cycles of its own, which are 40 ms."""
OVERSPEED = 1.3
"""Measured speed over the largest one from which the arm is no longer ours to move."""


class Overload:
    """Counts readings over a limit.

    Args:
        config: speeds and torques of the joints.
        gripper_torque: largest of the gripper [Nm].

    Attributes:
        newest: what is over its limit in the newest reading; empty if nothing is.
    """

    def __init__(self, config: ChildConfig, gripper_torque: float) -> None:
        self._velocity = np.array(config.velocity) * OVERSPEED
        self._torque = np.append(config.torque, gripper_torque)
        self._count = 0
        self._cycle = -np.inf
        self.newest = ""

    def judge(self, reading: Reading, torque_scale: float) -> str:
        """Judge one reading; one of the same cycle as before is not counted again.

        Args:
            reading: the newest.
            torque_scale: share of the torque limits that is allowed.

        Returns:
            What was over its limit for :data:`OVER` readings; empty if nothing was.
        """
        if reading.cycle > self._cycle:
            self._cycle = reading.cycle
            self.newest = self._excess(reading, torque_scale)
            self._count = self._count + 1 if self.newest else 0
        return self.newest if self._count >= OVER else ""

    def _excess(self, reading: Reading, torque_scale: float) -> str:
        _, velocity, torque = reading.joints
        torque, limit = np.append(torque, reading.gripper_torque), self._torque * torque_scale
        worst = int(np.argmax(np.abs(torque) / limit))
        if abs(torque[worst]) > limit[worst]:
            part = f"joint {worst + 1}" if worst < len(velocity) else "gripper"
            return f"too much torque: {part} at {torque[worst]:.1f} Nm, limit {limit[worst]:.1f}"
        worst = int(np.argmax(np.abs(velocity) / self._velocity))
        if abs(velocity[worst]) > self._velocity[worst]:
            return f"too fast: joint {worst + 1} at {velocity[worst]:.1f} rad/s"
        return ""
