"""Arms that understand only ROS's standard messages: a trajectory controller, MoveIt Servo.

Each is ideal: it is where it was sent within one tick. What it is told is checked as a strict
implementation would.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_arm.joint_table import HOME, X5
from vla_arm.kinematics import ArmKinematics, InverseKinematics
from vla_policy.conversions import pose_from_message, set_stamp
from vla_policy_node.qos import COMMAND

TICK = 0.02
JOINTS = [*X5.joint_names, "finger_left"]


class StandardArm(Node):
    """Publishes ``joint_states`` once a tick, the finger's travel among them.

    Attributes:
        positions: Shape (6,) [rad].
        finger: travel of one finger, half the opening [m].
        orders: how many it obeyed.
        complaints: what was wrong with those that it did not.
    """

    def __init__(self, context: Context) -> None:
        super().__init__("standard_arm", context=context)
        self.positions, self.finger = np.array(HOME), 0.02
        self.orders, self.complaints = 0, list[str]()
        self.time = 100.0
        self._kinematics, self._ik = ArmKinematics(X5), InverseKinematics(X5)
        self._states = self.create_publisher(JointState, "joint_states", COMMAND)

    def tick(self) -> None:
        """Let a control period pass, and say where the arm is."""
        self.time = round(self.time + TICK, 9)
        message = JointState(name=JOINTS[::-1])  # by name, not by order
        set_stamp(message.header.stamp, self.time)
        message.position = [*self.positions, self.finger][::-1]
        message.velocity = [0.0] * 7
        self._states.publish(message)

    def pose(self) -> np.ndarray:
        """Of the tool point, in ``base_link``. Shape (6,)."""
        return self._kinematics.forward(self.positions)

    def _listen(self, kind: Any, topic: str, obey: Any) -> None:
        self.create_subscription(kind, topic, obey, COMMAND)


class TrajectoryArm(StandardArm):
    """joint_trajectory_controller: positions of all joints, reached at a time after now."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._listen(JointTrajectory, "arm_controller/joint_trajectory", self._obey)

    def _obey(self, message: JointTrajectory) -> None:
        point = message.points[-1] if message.points else None
        if sorted(message.joint_names) != sorted(JOINTS):
            self.complaints.append(f"joints {message.joint_names}")
        elif point is None or len(point.positions) != len(JOINTS):
            self.complaints.append("no point, or not a position for each joint")
        elif point.time_from_start.sec == 0 and point.time_from_start.nanosec == 0:
            self.complaints.append("to be reached at once")
        else:
            values = dict(zip(message.joint_names, point.positions, strict=True))
            self.positions = np.array([values[name] for name in X5.joint_names])
            self.finger = values["finger_left"]
            self.orders += 1


class _ServoArm(StandardArm):
    """What the two kinds of Servo command share: a stamped header, and fingers on a topic."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._listen(Float64MultiArray, "gripper_controller/commands", self._grip)

    def _grip(self, message: Float64MultiArray) -> None:
        (self.finger,) = message.data

    def _fits(self, header: Any) -> bool:
        if header.frame_id != "base_link" or header.stamp.sec == 0:
            self.complaints.append(f"header {header}")
            return False
        return True


class PoseArm(_ServoArm):
    """MoveIt Servo that is given poses."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._listen(PoseStamped, "servo_node/pose_target_cmds", self._obey)

    def _obey(self, message: PoseStamped) -> None:
        if self._fits(message.header):
            pose = pose_from_message(message.pose)
            self.positions = self._ik.solve(pose, self.positions).q
            self.orders += 1


class TwistArm(_ServoArm):
    """MoveIt Servo that is given velocities in ``base_link`` [m/s, rad/s]."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._listen(TwistStamped, "servo_node/delta_twist_cmds", self._obey)

    def _obey(self, message: TwistStamped) -> None:
        if self._fits(message.header):
            linear, angular = message.twist.linear, message.twist.angular
            twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
            speed = np.linalg.solve(self._kinematics.jacobian(self.positions), twist)
            self.positions = self.positions + speed * TICK
            self.orders += 1
