"""Run episodes in a launched simulation and mark them, while recorder_node writes them down.

``python -m vla_policy_node.recording --task pick --episodes 5`` resets the simulation to the task's
scenes, one seed after the other, lets the expert or the policy act, and marks where each episode
begins, how it goes and where it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from vla_msgs.msg import EndEffectorState, EpisodeMark, TaskStatus

from vla_policy.conversions import seconds
from vla_policy_node.client import Scene, SimulationClient
from vla_policy_node.errors import NodeError
from vla_policy_node.qos import COMMAND, REPORT

RECORDER = "recorder_node"
SOURCE = "simulation"
MOVERS = ("expert", "policy", "teleop")
OPERATOR_TIMEOUT = 900.0
"""To start `teleop` in [s]."""
PATIENCE = 8.0
"""An operator gets so many times the time that a task allows."""


class RecordingClient(SimulationClient):
    """A client that also marks, and knows how far the recorder is.

    Args:
        namespace: namespace of the nodes.
    """

    def __init__(self, namespace: str = "") -> None:
        super().__init__(namespace)
        self._stamp = Time()
        self._task: TaskStatus | None = None
        self._recorder: Mapping[str, str] = {}
        self._recorder_name = f"{self._node.get_namespace()}/{RECORDER}".lstrip("/")
        self._marks = self._node.create_publisher(EpisodeMark, "episode_mark", REPORT)
        listen = self._node.create_subscription
        listen(EndEffectorState, "ee_state", self._take_state, COMMAND)
        listen(TaskStatus, "task_status", self._take_task, REPORT)
        listen(DiagnosticArray, "/diagnostics", self._take_diagnostics, 100)

    def wait_until_recording(self, timeout: float = 60.0) -> None:
        """Wait until the recorder hears cameras and arm.

        Raises:
            NodeError: it does not in time; the message says what is missing.
        """
        self._wait(RECORDER, lambda: bool(self._recorder), timeout)
        missing = self._recorder["waiting for"]
        self._wait(f"{RECORDER}: {missing}", self._is_recording, timeout)
        self._wait("episode_mark heard", lambda: self._marks.get_subscription_count() > 0, timeout)

    def wait_until_written(self, begun: int, ended: int, timeout: float = 30.0) -> None:
        """Wait until the recorder has the marks of so many episodes."""
        wanted = str(begun), str(ended)
        self._wait(
            f"{RECORDER}: {begun} episodes begun, {ended} ended",
            lambda: (self._recorder["begun"], self._recorder["ended"]) == wanted,
            timeout,
        )

    def mark(self, kind: int, scene: Scene) -> None:
        """Mark the newest state's time; time stands still meanwhile."""
        # The answer to a state may be seen before the state itself, right after a reset say.
        self._wait("the newest ee_state", self._has_newest_state, 20.0)
        mark = EpisodeMark(kind=kind, source=SOURCE)
        mark.header.stamp = self._stamp
        if kind == EpisodeMark.START:
            mark.instruction, mark.task, mark.seed = scene.instruction, scene.task, scene.seed
        self._marks.publish(mark)

    def watch(self, scene: Scene, timeout: float = 600.0) -> bool:
        """Let time run until the scene's task is done or its time is over; returns which.

        Args:
            scene: just reset.
            timeout: wall-clock time [s].
        """
        self._task = None
        self.resume()
        self._wait("the end of the episode", lambda: self._is_over(scene), timeout)
        assert self._task is not None
        return bool(self._task.success)

    def _is_over(self, scene: Scene) -> bool:
        task = self._task
        if task is None or (task.task, task.seed) != (scene.task, scene.seed):
            return False
        return bool(task.success) or task.elapsed >= scene.time_limit - 1e-6

    def _has_newest_state(self) -> bool:
        return seconds(self._stamp) >= self._commanded - 1e-6

    def _is_recording(self) -> bool:
        return not self._recorder["waiting for"]

    def _take_state(self, message: EndEffectorState) -> None:
        self._stamp = message.header.stamp

    def _take_task(self, message: TaskStatus) -> None:
        self._task = message

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._recorder_name:
                if status.level == DiagnosticStatus.ERROR:
                    raise NodeError(RECORDER, got=status.message, expected="a bag that grows")
                self._recorder = {value.key: value.value for value in status.values}


def run_episode(client: RecordingClient, number: int, scene: Scene, by_policy: bool) -> bool:
    """Run and mark an episode.

    Args:
        client: the client.
        number: counts the episodes from 0.
        scene: just reset.
        by_policy: the policy is told what to do; else whoever moves the arm knows.

    Returns:
        Whether the task was done.
    """
    client.mark(EpisodeMark.START, scene)
    # Time stands still: nothing can be recorded before its mark.
    client.wait_until_written(number + 1, number)
    if by_policy:
        done = client.execute(scene.instruction, scene.time_limit, seed=scene.seed).success
    else:
        done = client.watch(scene)
    client.pause()
    client.mark(EpisodeMark.SUCCESS if done else EpisodeMark.FAILURE, scene)
    client.mark(EpisodeMark.END, scene)
    client.wait_until_written(number + 1, number + 1)
    return done


def main(argv: Sequence[str] | None = None) -> int:
    """Run the episodes; exit code 0 when all are recorded, whatever their outcome."""
    parser = argparse.ArgumentParser(description="Record episodes in a launched simulation.")
    add: Any = parser.add_argument
    add("--task", required=True, help="task of the suite")
    add("--episodes", type=int, default=1)
    add("--seed", type=int, default=0, help="of the first scene; the next ones count on")
    add("--instructions", default="train", help="phrasing of the instructions")
    add("--mover", choices=MOVERS, default="expert", help="who moves the arm")
    add("--namespace", default="", help="namespace of the nodes")
    add("--ready-timeout", type=float, default=90.0, help="[s]")
    arguments = parser.parse_args(argv)
    by_policy = arguments.mover == "policy"
    try:
        with contextlib.closing(RecordingClient(arguments.namespace)) as client:
            timeout = arguments.ready_timeout
            if arguments.mover == "teleop":
                print("now `ros2 run lean_vla teleop` in another terminal", flush=True)
                timeout = max(timeout, OPERATOR_TIMEOUT)
            client.wait_until_ready(timeout, policy=by_policy)
            client.wait_until_recording(arguments.ready_timeout)
            for number in range(arguments.episodes):
                seed = arguments.seed + number
                scene = client.reset(arguments.task, seed, instructions=arguments.instructions)
                if arguments.mover == "teleop":
                    scene = replace(scene, time_limit=PATIENCE * scene.time_limit)
                    print(f"now: {scene.instruction}", flush=True)
                done = run_episode(client, number, scene, by_policy)
                word = "success" if done else "failure"
                print(f"{number + 1}/{arguments.episodes} {scene.instruction}: {word}", flush=True)
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
