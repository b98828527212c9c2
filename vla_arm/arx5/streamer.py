"""From targets at the control rate to joint commands at the child's rate: a ramp, and never more.

There is no extrapolation: without a new target the arm stands where the last one was, which is the
child's own watchdog.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_arm.arx5.wire import ChildConfig, Order

MAX_AGE = 0.1
"""Targets older than this are dropped: the driver was frozen, or the socket full [s]."""
MAX_JUMP = 0.5
"""Targets further than this from where the arm was sent are refused [rad]."""
GRIPPER_SPEED = 0.3
"""Largest of the gripper, the library's own [m/s]."""


class Streamer:
    """Ramps from target to target within joint ranges and speeds.

    Args:
        config: ranges and speeds.
    """

    def __init__(self, config: ChildConfig) -> None:
        self._lower = np.append(config.lower, 0.0)
        self._upper = np.append(config.upper, config.gripper_max)
        self._velocity = np.array(config.velocity)
        self.limit(1.0)
        self._period = config.period
        self._output = np.zeros(7)
        self._target = np.zeros(7)
        self._number, self._end, self._time = 0, 0.0, 0.0

    @property
    def output(self) -> NDArray[np.float64]:
        """What was sent last: joints [rad] and opening [m]. Shape (7,)."""
        return self._output.copy()

    def limit(self, speed_scale: float) -> None:
        """Ramp at this share of the joint speeds from now on."""
        self._speed = np.append(self._velocity * min(1.0, speed_scale), GRIPPER_SPEED)

    def anchor(self, positions: NDArray[np.float64], gripper: float, now: float) -> None:
        """Start from where the arm is. Shape (6,) [rad], [m]."""
        state = np.append(positions, gripper)
        self._output = np.clip(state, self._lower, self._upper)
        self._target, self._end, self._time = self._output.copy(), now, now

    def take(self, order: Order, now: float) -> bool:
        """Take a target; False if it is old, out of turn, far away or not finite."""
        target = np.append(order.positions, order.gripper)
        fits = (
            np.isfinite(target).all()
            and order.number > self._number
            and 0.0 <= now - order.time <= MAX_AGE
            and np.abs(target[:6] - self._output[:6]).max() <= MAX_JUMP
        )
        if not fits:
            return False
        self._number = order.number
        self._target = np.clip(target, self._lower, self._upper)
        self._end = now + self._period
        return True

    def step(self, now: float) -> NDArray[np.float64]:
        """The command for this moment. Shape (7,)."""
        dt = min(max(now - self._time, 0.0), self._period)
        left = self._end - self._time
        self._time = now
        share = 1.0 if left <= dt else dt / left
        way = share * (self._target - self._output)
        reach = self._speed * dt
        self._output = self._output + np.clip(way, -reach, reach)
        return self._output.copy()
