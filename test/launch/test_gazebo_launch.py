"""gazebo.launch.py with Gazebo's processes replaced by sim_node on the same topics."""

import os
import sys
import time
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import numpy as np
import pytest
import rclpy
from launch import LaunchDescription
from launch.actions import ExecuteProcess, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from trajectory_msgs.msg import JointTrajectory
from vla_msgs.msg import ArmStatus, EndEffectorState

from vla_policy.conversions import pose_from_message
from vla_policy_node.bring_up import lifecycle_node
from vla_policy_node.qos import COMMAND, LATCHED

ROOT = Path(__file__).parents[2]
DOUBLES = ROOT / "test" / "doubles"
INSTRUCTION = "move the gripper over to the blue cube"
TIMEOUT = 120.0


@pytest.mark.launch_test
def generate_test_description():
    path = os.pathsep.join([str(DOUBLES), os.environ.get("PYTHONPATH", "")])
    remappings = [
        ("joint_states", "sim/joint_states"),
        ("joint_commands", "sim/joint_commands"),
    ]
    return LaunchDescription(
        [
            SetEnvironmentVariable("PYTHONPATH", path),
            SetEnvironmentVariable("LEAN_VLA_TEST_SCENES", "reach:0"),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(ROOT / "launch" / "gazebo.launch.py")),
                launch_arguments={
                    "simulator": "false",
                    "policy": "python:scripted_policy.make",
                    "instruction": INSTRUCTION,
                }.items(),
            ),
            *lifecycle_node("sim_node", remappings=remappings, task="reach", seed=0, mode="paced"),
            ExecuteProcess(cmd=[sys.executable, str(DOUBLES / "trajectory_controller.py")]),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestArm(unittest.TestCase):
    def test_it_moves_by_trajectories_on_the_controllers_topic(self):
        rclpy.init()
        node = rclpy.create_node("ear")
        poses, trajectories, statuses = [], [], []
        node.create_subscription(EndEffectorState, "ee_state", poses.append, COMMAND)
        topic = "arm_controller/joint_trajectory"
        node.create_subscription(JointTrajectory, topic, trajectories.append, COMMAND)
        node.create_subscription(ArmStatus, "arm_status", statuses.append, LATCHED)

        def moved():
            if not poses:
                return 0.0
            first, last = (pose_from_message(poses[i].measured)[:3] for i in (0, -1))
            return float(np.linalg.norm(last - first))

        end = time.monotonic() + TIMEOUT
        while moved() < 0.03 or not trajectories:
            text = statuses[-1].text if statuses else "no arm_status"
            self.assertLess(time.monotonic(), end, f"moved {moved():.3f} m; {text}")
            rclpy.spin_once(node, timeout_sec=0.1)
        self.assertEqual(statuses[-1].backend, "joint_trajectory")
        self.assertIn("finger_left", trajectories[-1].joint_names)
        node.destroy_node()
        rclpy.shutdown()


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_every_process_ends_with_exit_code_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
