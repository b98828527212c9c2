"""In Gazebo's place: sim_node behind what ros2_control says and hears.

    python trajectory_controller.py

sim_node speaks on ``sim/joint_states`` and ``sim/joint_commands``; this node turns them into
``joint_states`` with fingers, and ``arm_controller/joint_trajectory``.
"""

from __future__ import annotations

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vla_policy_node.qos import COMMAND

GRIPPER, FINGERS = "gripper", ("finger_left", "finger_right")


class TrajectoryController(Node):
    """A broadcaster and a controller in one."""

    def __init__(self) -> None:
        super().__init__("trajectory_controller")
        self._newest = JointState()
        self._states = self.create_publisher(JointState, "joint_states", COMMAND)
        self._targets = self.create_publisher(JointState, "sim/joint_commands", COMMAND)
        self.create_subscription(JointState, "sim/joint_states", self._broadcast, COMMAND)
        topic = "arm_controller/joint_trajectory"
        self.create_subscription(JointTrajectory, topic, self._control, COMMAND)

    def _broadcast(self, message: JointState) -> None:
        self._newest = message
        opening = message.position[message.name.index(GRIPPER)]
        joints = [i for i, name in enumerate(message.name) if name != GRIPPER]
        out = JointState(header=message.header)
        out.name = [*(message.name[i] for i in joints), *FINGERS]
        out.position = [*(message.position[i] for i in joints), opening / 2, opening / 2]
        out.velocity = [*(message.velocity[i] for i in joints), 0.0, 0.0]
        self._states.publish(out)

    def _control(self, message: JointTrajectory) -> None:
        target = dict(zip(message.joint_names, message.points[-1].positions, strict=True))
        opening = 2 * target.pop(FINGERS[0])
        out = JointState(header=self._newest.header)
        out.name, out.position = [*target, GRIPPER], [*target.values(), opening]
        self._targets.publish(out)


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(TrajectoryController())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
