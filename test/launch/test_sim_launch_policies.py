"""The policies that ship, launched by their names as a user does it, do what they are told."""

import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from vla_msgs.msg import PolicyStatus

from vla_policy_node.client import SimulationClient
from vla_policy_node.qos import REPORT

ROOT = Path(__file__).parents[2]
EPISODES = [("reach", 0), ("pick", 1), ("place", 2)]
LAYERS = 12


@pytest.mark.launch_test
@launch_testing.parametrize("policy", ["teacher", "student"])
def generate_test_description(policy):
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(ROOT / "launch" / "sim.launch.py")),
                launch_arguments={"policy": policy, "mode": "lockstep"}.items(),
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestPolicy(unittest.TestCase):
    def test_tasks_succeed_and_the_status_says_which_layers_ran(self, policy):
        outcomes, layers = {}, set()
        with SimulationClient() as client:
            client._node.create_subscription(
                PolicyStatus,
                "policy_status",
                lambda status: status.chunks and layers.add(tuple(status.report.layers_run)),
                REPORT,
            )
            client.wait_until_ready(90.0)
            for task, seed in EPISODES:
                scene = client.reset(task, seed)
                outcomes[task] = client.execute(scene.instruction, scene.time_limit, seed=seed)
        done = [task for task, outcome in outcomes.items() if outcome.success]
        self.assertGreaterEqual(len(done), 2, str(outcomes))
        if policy == "teacher":
            self.assertEqual(layers, {tuple(range(LAYERS))})
        else:  # others for other observations, and half of them on average
            self.assertGreater(len(layers), 1)
            self.assertTrue(all(1 <= len(each) < LAYERS for each in layers), str(layers))


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_every_node_ends_with_exit_code_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
