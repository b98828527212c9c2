"""Joint targets out on ``joint_commands``, joint states in on ``joint_states``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sensor_msgs.msg import JointState

from vla_arm.backend import ArmState, Obedient
from vla_arm.controller import JointCommand
from vla_arm.joint_table import ArmModel
from vla_policy.conversions import joint_values, seconds, set_stamp
from vla_policy.errors import PolicyError
from vla_policy_node.qos import COMMAND

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

GRIPPER = "gripper"


class JointTopics(Obedient):
    """Speaks ``sensor_msgs/JointState`` both ways; the joint ``gripper`` is the opening [m].

    Args:
        node: the node that speaks.
        arm: whose joints are named.
        on_measurement: takes each measurement.
        on_fault: takes the reason why a message could not be used.
    """

    def __init__(
        self,
        node: SettingsNode,
        arm: ArmModel,
        on_measurement: Callable[[ArmState], None],
        on_fault: Callable[[str], None],
    ) -> None:
        self._node, self._on_measurement, self._on_fault = node, on_measurement, on_fault
        self._names = [joint.name for joint in arm.joints] + [GRIPPER]
        self._state: ArmState | None = None
        self._out = node.publisher(JointState, "joint_commands", COMMAND)

    def connect(self) -> None:
        """See :class:`ArmBackend`."""
        self._node.subscribe(JointState, "joint_states", self._take, COMMAND)

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`; the stamp is that of the measurement answered."""
        if self._state is None:
            return
        message = JointState(name=self._names)
        set_stamp(message.header.stamp, self._state.stamp)
        message.position = [*command.positions.tolist(), float(command.gripper)]
        self._out.publish(message)

    def state(self) -> ArmState | None:
        """See :class:`ArmBackend`."""
        return self._state

    def stop(self) -> None:
        """See :class:`ArmBackend`; position servos keep the last target."""

    def _take(self, message: JointState) -> None:
        try:
            values = joint_values(message, self._names)
            speeds = joint_values(message, self._names[:6], "velocity")
        except PolicyError as error:
            self._on_fault(str(error))
            return
        self._state = ArmState(values[:6], speeds, float(values[6]), seconds(message.header.stamp))
        self._on_measurement(self._state)
