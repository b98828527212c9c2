"""Joint targets to a ros2_control joint_trajectory_controller, joint states from a broadcaster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_arm.backend import ArmState, Obedient
from vla_arm.command import JointCommand
from vla_arm.joint_table import ArmModel
from vla_policy.conversions import joint_values, seconds
from vla_policy.errors import PolicyError
from vla_policy_node.qos import COMMAND

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

FINGER = "finger_left"
REACH_IN = 0.04
"""When a target is to be reached [s]: two control periods, so that the next one is in time."""


class JointStatesEar:
    """Takes ``joint_states`` in which the finger's travel is half the opening.

    Args:
        node: the node that listens.
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
        self.names = [*arm.joint_names, FINGER]
        self.state: ArmState | None = None

    def listen(self) -> None:
        """Subscribe."""
        self._node.subscribe(JointState, "joint_states", self._take, COMMAND)

    def _take(self, message: JointState) -> None:
        try:
            values = joint_values(message, self.names)
            speeds = joint_values(message, self.names[:6], "velocity")
        except PolicyError as error:
            self._on_fault(str(error))
            return
        stamp = seconds(message.header.stamp)
        self.state = ArmState(values[:6], speeds, 2.0 * float(values[6]), stamp)
        self._on_measurement(self.state)


class JointTrajectoryBackend(Obedient):
    """Speaks to any arm under ros2_control, Gazebo's included.

    One point a tick, on ``<controller>/joint_trajectory``; without a new one the controller holds.

    Args:
        node: the node that speaks; its setting ``controller`` names the controller.
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
        self._ear = JointStatesEar(node, arm, on_measurement, on_fault)
        controller = node.settings.controller or "arm_controller"
        self._out = node.publisher(JointTrajectory, f"{controller}/joint_trajectory", COMMAND)

    def connect(self) -> None:
        """See :class:`ArmBackend`."""
        self._ear.listen()

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`."""
        point = JointTrajectoryPoint(
            positions=[*command.positions.tolist(), float(command.gripper) / 2.0],
            time_from_start=Duration(nanosec=int(REACH_IN * 1e9)),
        )
        # No stamp: the controller starts at once.
        self._out.publish(JointTrajectory(joint_names=self._ear.names, points=[point]))

    def state(self) -> ArmState | None:
        """See :class:`ArmBackend`."""
        return self._ear.state

    def stop(self) -> None:
        """See :class:`ArmBackend`; the controller holds the last target."""
