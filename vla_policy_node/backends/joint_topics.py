"""Joint targets out on ``joint_commands``, joint states in on ``joint_states``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sensor_msgs.msg import JointState

from vla_arm.backend import ArmState
from vla_arm.controller import JointCommand
from vla_arm.joint_table import ArmModel
from vla_policy.conversions import set_stamp
from vla_policy_node.backends.ear import JointStatesEar
from vla_policy_node.backends.obedient import Obedient
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
        super().__init__(JointStatesEar(node, arm, GRIPPER, 1.0, on_measurement, on_fault))
        self._out = node.publisher(JointState, "joint_commands", COMMAND)

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`; the stamp is that of the measurement answered."""
        if self.ear.state is None:
            return
        message = JointState(name=self.ear.names)
        set_stamp(message.header.stamp, self.ear.state.stamp)
        message.position = [*command.positions.tolist(), float(command.gripper)]
        self._out.publish(message)
