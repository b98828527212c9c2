"""Joint targets to a ros2_control joint_trajectory_controller, joint states from a broadcaster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_arm.backend import ArmState
from vla_arm.command import JointCommand
from vla_arm.joint_table import ArmModel
from vla_policy_node.arm_limits import speed_share
from vla_policy_node.backends.ear import JointStatesEar
from vla_policy_node.backends.obedient import Obedient
from vla_policy_node.qos import COMMAND

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

FINGER = "finger_left"
"""Its travel is half the opening."""
REACH_IN = 0.04
"""When a target is to be reached [s]: two control periods, so that the next one is in time."""


class JointTrajectoryBackend(Obedient):
    """Speaks to any arm under ros2_control, Gazebo's included.

    One point a tick, on ``<controller>/joint_trajectory``; without a new one the controller holds.
    An arm that has not followed, as one that was held fast, gets the time to catch up within its
    speed limits.

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
        super().__init__(JointStatesEar(node, arm, FINGER, 2.0, on_measurement, on_fault))
        self._node, self._arm = node, arm
        controller = node.settings.controller or "arm_controller"
        self._out = node.publisher(JointTrajectory, f"{controller}/joint_trajectory", COMMAND)

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`."""
        if self.ear.state is None:
            return
        settings = self._node.settings
        speed = self._arm.velocity * settings.joint_speed_scale * speed_share(settings)
        way = np.abs(command.positions - self.ear.state.positions)
        seconds = max(REACH_IN, float((way / speed).max()))
        point = JointTrajectoryPoint(
            positions=[*command.positions.tolist(), float(command.gripper) / 2.0],
            time_from_start=Duration(sec=int(seconds), nanosec=int(seconds % 1.0 * 1e9)),
        )
        # No stamp: the controller starts at once.
        self._out.publish(JointTrajectory(joint_names=self.ear.names, points=[point]))
