"""The trained policy, launched as a user launches it, does what it is told."""

import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from vla_policy_node.client import SimulationClient

ROOT = Path(__file__).parents[2]
TEACHER = ROOT / "checkpoints" / "teacher"
EPISODES = [("reach", 0), ("pick", 1), ("place", 2)]

# A skip of the whole module would, under launch_testing, skip the whole folder.
trained = unittest.skipUnless(TEACHER.is_dir(), "no trained policy in checkpoints/teacher")


def description():
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(ROOT / "launch" / "sim.launch.py")),
                launch_arguments={"policy": str(TEACHER), "mode": "lockstep"}.items(),
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


if TEACHER.is_dir():
    generate_test_description = pytest.mark.launch_test(description)


@trained
class TestTeacher(unittest.TestCase):
    def test_tasks_succeed(self):
        outcomes = {}
        with SimulationClient() as client:
            client.wait_until_ready(90.0)
            for task, seed in EPISODES:
                scene = client.reset(task, seed)
                outcomes[task] = client.execute(scene.instruction, scene.time_limit, seed=seed)
        done = [task for task, outcome in outcomes.items() if outcome.success]
        self.assertGreaterEqual(len(done), 2, str(outcomes))


@trained
@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_every_node_ends_with_exit_code_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
