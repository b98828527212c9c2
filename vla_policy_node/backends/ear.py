"""``joint_states`` of an arm whose driver is somebody else's: taken only where they can be its own.

What is believed here is where a hold is sent to. A viewer's sliders, a bag that is played or a
second arm publish the same topic, and a joint that was turned past its range would be pulled back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from vla_arm.backend import ArmState
from vla_arm.joint_table import ArmModel, outside
from vla_policy.conversions import joint_values, seconds
from vla_policy.errors import PolicyError
from vla_policy_node import clock
from vla_policy_node.qos import COMMAND

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

TOPIC = "joint_states"
LEAP, NOISE = 1.5, 0.05
"""Between two states a joint moves at most so many times its speed, and this [rad]."""


class JointStatesEar:
    """Takes joint states, or says why not.

    Args:
        node: the node that listens.
        arm: whose joints are named.
        gripper: name of the gripper's joint.
        opening: opening [m] of its position 1.
        on_measurement: takes each measurement.
        on_fault: takes the reason why a message could not be used.
    """

    def __init__(
        self,
        node: SettingsNode,
        arm: ArmModel,
        gripper: str,
        opening: float,
        on_measurement: Callable[[ArmState], None],
        on_fault: Callable[[str], None],
    ) -> None:
        self._node, self._arm, self._opening = node, arm, opening
        self._on_measurement, self._on_fault = on_measurement, on_fault
        self._at = 0.0
        self.names = [*arm.joint_names, gripper]
        self.state: ArmState | None = None

    @property
    def trouble(self) -> str:
        """Who else speaks there; empty if the arm's driver is alone. A simulator that waits for
        each answer is not looked at."""
        if self._node.settings.lockstep or self._node.count_publishers(TOPIC) < 2:
            return ""
        others = self._node.get_publishers_info_by_topic(TOPIC)
        names = sorted(f"{o.node_namespace.rstrip('/')}/{o.node_name}" for o in others)
        return f"{len(names)} publishers of {TOPIC} ({', '.join(names)}): whose is the arm?"

    def listen(self) -> None:
        """Subscribe."""
        self._node.subscribe(JointState, TOPIC, self._take, COMMAND)

    def _take(self, message: JointState) -> None:
        if not set(self.names) & set(message.name):
            return  # of other joints: a base's, a second arm's
        try:
            values = joint_values(message, self.names)
            speeds = np.zeros(6)
            if len(message.velocity):
                speeds = joint_values(message, self.names[:6], "velocity")
        except PolicyError as error:
            self._on_fault(str(error))
            return
        if why := outside(values[:6], self._arm.lower, self._arm.upper) or self._leaps(values[:6]):
            self._on_fault(why)
            return
        self._at = clock.steady()
        opening = self._opening * float(values[6])
        self.state = ArmState(values[:6], speeds, opening, seconds(message.header.stamp))
        self._on_measurement(self.state)

    def _leaps(self, positions: NDArray[np.float64]) -> str:
        if self.state is None or self._node.settings.lockstep:
            return ""
        away, passed = np.abs(positions - self.state.positions), clock.steady() - self._at
        worst = int(np.argmax(away - LEAP * self._arm.velocity * passed))
        if away[worst] <= LEAP * self._arm.velocity[worst] * passed + NOISE:
            return ""
        return (
            f"{self.names[worst]} was {away[worst]:.2f} rad elsewhere {1000 * passed:.0f} ms ago:"
            f" are these {TOPIC} the arm's?"
        )
