"""The real launch file in lockstep: the arm moves, every task succeeds, all ends cleanly."""

import os
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource

from vla_policy_node.client import SimulationClient

ROOT = Path(__file__).parents[2]
EPISODES = [("reach", 0), ("pick", 0), ("place", 0)]


@pytest.mark.launch_test
def generate_test_description():
    path = os.pathsep.join([str(ROOT / "test" / "doubles"), os.environ.get("PYTHONPATH", "")])
    scenes = " ".join(f"{task}:{seed}" for task, seed in EPISODES)
    return LaunchDescription(
        [
            SetEnvironmentVariable("PYTHONPATH", path),
            SetEnvironmentVariable("LEAN_VLA_TEST_SCENES", scenes),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(ROOT / "launch" / "sim.launch.py")),
                launch_arguments={
                    "policy": "python:scripted_policy.make",
                    "mode": "lockstep",
                }.items(),
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestLockstep(unittest.TestCase):
    def test_every_task_succeeds(self):
        with SimulationClient() as client:
            client.wait_until_ready(90.0)
            for task, seed in EPISODES:
                scene = client.reset(task, seed)
                phases = []
                outcome = client.execute(
                    scene.instruction,
                    scene.time_limit,
                    on_feedback=lambda feedback, phases=phases: phases.append(feedback.progress),
                )
                self.assertTrue(outcome.success, f"{task}: {outcome.message}")
                self.assertGreater(max(phases), min(phases), f"{task}: the arm did not get on")


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_every_node_ends_with_exit_code_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
