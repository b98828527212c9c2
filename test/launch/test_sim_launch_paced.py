"""Two launches at once, paced by the wall clock, in a namespace, each in a domain of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from vla_msgs.msg import ArmStatus, EndEffectorState, PolicyStatus, TaskStatus

from vla_policy.conversions import pose_from_message
from vla_policy_node.clock import steady
from vla_policy_node.qos import COMMAND, LATCHED, REPORT

ROOT = Path(__file__).parents[2]
NAMESPACE = "left"
INSTRUCTION = "move the gripper over to the blue cube"
READY_TIMEOUT = 90.0
STOP_TIMEOUT = 20.0


class Launch:
    """A launch in a process group of its own, as a shell starts it, with ears for its topics."""

    def __init__(self, domain: int, log: Path, **arguments: str) -> None:
        self.log = log
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT / "test" / "doubles"), os.environ.get("PYTHONPATH", "")]
            ),
            "LEAN_VLA_TEST_SCENES": "reach:0",
        }
        words = [f"{name}:={value}" for name, value in arguments.items()]
        command = [sys.executable, "-m", "vla_distill.cli.main", "launch", "sim.launch.py", *words]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True, cwd=ROOT
            )
        self.context = Context()
        self.context.init(domain_id=domain)
        namespace = arguments.get("namespace", "")
        self.node = Node("ear", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.poses: list[np.ndarray] = []
        self.newest: dict[type, Any] = {}
        listen = self.node.create_subscription
        listen(EndEffectorState, "ee_state", self._take_state, COMMAND)
        for kind, topic, qos in (
            (ArmStatus, "arm_status", LATCHED),
            (TaskStatus, "task_status", REPORT),
            (PolicyStatus, "policy_status", REPORT),
        ):
            listen(kind, topic, lambda message, kind=kind: self._take(kind, message), qos)

    def _take_state(self, message: EndEffectorState) -> None:
        self.poses.append(pose_from_message(message.measured))

    def _take(self, kind: type, message: Any) -> None:
        self.newest[kind] = message

    def until(self, what: str, done: Callable[[], bool], timeout: float = READY_TIMEOUT) -> None:
        end = steady() + timeout
        while not done():
            tail = self.log.read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, f"{what}: the launch has ended\n{tail}"
            told = [str(message) for message in self.newest.values()]
            assert steady() < end, f"{what}: not within {timeout} s\n{tail}\n{told}"
            self.executor.spin_once(timeout_sec=0.1)

    def away(self, home: np.ndarray) -> float:
        """How far the tool is from there [m]; 0 if it has not been seen yet."""
        return float(np.linalg.norm(self.poses[-1][:3] - home[:3])) if self.poses else 0.0

    def interrupt(self) -> int:
        """Ctrl-C in a terminal: the signal goes to the whole group. Returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_TIMEOUT)

    def anyone_left(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        if self.anyone_left():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def launches(request: Any, tmp_path: Path) -> Iterator[tuple[Launch, Launch]]:
    common = request.config.pluginmanager.get_plugin(str(ROOT / "test" / "conftest.py"))
    domain, lock = common.acquire_domain()
    own = int(os.environ["ROS_DOMAIN_ID"])
    policy = "python:scripted_policy.make"
    moving = Launch(
        own,
        tmp_path / "moving.log",
        policy=policy,
        task="reach",
        seed="0",
        instruction=INSTRUCTION,
        namespace=NAMESPACE,
    )
    idle = Launch(domain, tmp_path / "idle.log", policy=policy, task="pick", seed="7")
    try:
        yield moving, idle
    finally:
        moving.close()
        idle.close()
        lock.close()


def test_two_launches_do_not_disturb_each_other_and_end_cleanly(launches):
    moving, idle = launches
    idle.until("the other one is ready", lambda: ArmStatus in idle.newest and bool(idle.poses))
    # Both begin at home; the one that moves may be done before it is first seen.
    home = idle.poses[0]
    moving.until("the arm with an instruction moves", lambda: moving.away(home) > 0.03)
    idle.until("its policy is idle", lambda: PolicyStatus in idle.newest)
    idle.until("its task is told", lambda: TaskStatus in idle.newest)
    assert idle.newest[TaskStatus].task == "pick" and idle.newest[TaskStatus].seed == 7
    assert idle.newest[PolicyStatus].instruction == ""
    assert idle.away(home) < 0.005
    moving.until(
        "its policy says what it does",
        # The first one that is heard may be from before it was told.
        lambda: moving.newest.get(PolicyStatus, PolicyStatus()).instruction == INSTRUCTION,
    )
    assert moving.newest[TaskStatus].task == "reach"
    assert moving.interrupt() == 0, moving.log.read_text()[-2000:]
    assert not moving.anyone_left()
    before = len(idle.poses)
    idle.until("the other one goes on", lambda: len(idle.poses) > before + 25)
    assert idle.interrupt() == 0, idle.log.read_text()[-2000:]
    assert not idle.anyone_left()
