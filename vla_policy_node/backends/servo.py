"""Poses or twists to MoveIt Servo, joint states from the arm's own driver.

Servo does its own inverse kinematics; what is sent is where the gate's joint targets put the tool,
so that all limits hold before Servo's own. A twist closes the gap to there within the tool's speed
limits, however wide it is, and is zero where the arm shall hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from std_msgs.msg import Float64MultiArray

from vla_arm.backend import ArmState
from vla_arm.command import JointCommand
from vla_arm.joint_table import ArmModel
from vla_arm.kinematics import ArmKinematics
from vla_arm.rotation import difference, rotvec_to_quaternion
from vla_policy.conversions import pose_to_message
from vla_policy_node.arm_limits import limits_of
from vla_policy_node.backends.ear import JointStatesEar
from vla_policy_node.backends.joint_trajectory import FINGER
from vla_policy_node.backends.obedient import Obedient
from vla_policy_node.qos import COMMAND

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

GRIPPER_TOPIC = "gripper_controller/commands"
LAG = 0.1
"""Time in which a twist closes the gap between tool and target [s]."""


class _Servo(Obedient):
    """What both kinds share. Servo halts without commands (``incoming_command_timeout``).

    Arguments as :class:`JointTrajectoryBackend`.
    """

    def __init__(
        self,
        node: SettingsNode,
        arm: ArmModel,
        on_measurement: Callable[[ArmState], None],
        on_fault: Callable[[str], None],
    ) -> None:
        super().__init__(JointStatesEar(node, arm, FINGER, 2.0, on_measurement, on_fault))
        self._node = node
        self._kinematics = ArmKinematics(arm)
        self._server = node.settings.controller or "servo_node"
        self._gripper = node.publisher(Float64MultiArray, GRIPPER_TOPIC, COMMAND)

    def _send_gripper(self, command: JointCommand) -> None:
        self._gripper.publish(Float64MultiArray(data=[float(command.gripper) / 2.0]))


class ServoPose(_Servo):
    """``<servo>/pose_target_cmds``. Arguments as :class:`JointTrajectoryBackend`."""

    def __init__(self, node: SettingsNode, *arguments: object) -> None:
        super().__init__(node, *arguments)  # type: ignore[arg-type]
        self._out = node.publisher(PoseStamped, f"{self._server}/pose_target_cmds", COMMAND)

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`."""
        message = PoseStamped()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._node.settings.base_frame
        pose_to_message(self._kinematics.forward(command.positions), message.pose)
        self._out.publish(message)
        self._send_gripper(command)


class ServoTwist(_Servo):
    """``<servo>/delta_twist_cmds``. Arguments as :class:`JointTrajectoryBackend`."""

    def __init__(self, node: SettingsNode, *arguments: object) -> None:
        super().__init__(node, *arguments)  # type: ignore[arg-type]
        self._out = node.publisher(TwistStamped, f"{self._server}/delta_twist_cmds", COMMAND)

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`: the twist [m/s, rad/s] in the base frame that closes the gap."""
        if self.ear.state is None:
            return
        here = self._kinematics.forward(self.ear.state.positions)
        goal = self._kinematics.forward(command.positions)
        start = rotvec_to_quaternion(here[3:])
        local = difference(rotvec_to_quaternion(goal[3:]), start)
        turn = np.empty(3)
        mujoco.mju_rotVecQuat(turn, local, start)
        message = TwistStamped()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self._node.settings.base_frame
        if command.accepted:
            limits = limits_of(self._node.settings)
            linear, angular = message.twist.linear, message.twist.angular
            speed = _at_most(limits.linear_speed, (goal[:3] - here[:3]) / LAG)
            linear.x, linear.y, linear.z = speed.tolist()
            angular.x, angular.y, angular.z = _at_most(limits.angular_speed, turn / LAG).tolist()
        self._out.publish(message)
        self._send_gripper(command)


def _at_most(limit: float, speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """A speed in the same direction, no faster than the limit."""
    return speed * min(1.0, limit / max(float(np.linalg.norm(speed)), 1e-9))
