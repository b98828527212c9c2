"""An operator at a terminal solves a task with the keys, and the recording says so."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from test_record_launch import RUN_TIMEOUT, Recording, record  # noqa: F401
from vla_msgs.msg import EndEffectorState

from vla_distill.bags.content import read_bag
from vla_distill.bags.episode import split
from vla_policy_node.clock import steady
from vla_policy_node.qos import COMMAND
from vla_sim.simulation import Simulation

SEED = 3
CLOSE = 0.008
"""An axis that is nearer than this is left alone [m]: a key moves at least 10 mm."""
KEYS = ("ws", "ad", "rf")
"""Forward and back, left and right, up and down."""


class Operator:
    """Looks where the hand is, and presses what brings it nearer to a place."""

    def __init__(self, target: np.ndarray) -> None:
        self._target, self._hand = target, None
        self._terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vla_policy_node.teleop_node", "--speed", "0.04"],
            stdin=inside, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(inside)
        self._context = Context()
        self._context.init()
        self._node = Node("eyes", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(EndEffectorState, "ee_state", self._see, COMMAND)

    def _see(self, message: EndEffectorState) -> None:
        place = message.measured.position
        self._hand = np.array([place.x, place.y, place.z])

    def work(self) -> None:
        """Look, and press what is needed."""
        self._executor.spin_once(timeout_sec=0.02)
        if self._hand is None:
            return
        away = self._target - self._hand
        # Over the object first: the hand must not come at it from the side.
        axes = (0, 1) if np.abs(away[:2]).max() > CLOSE else (2,)
        for axis in axes:
            if abs(away[axis]) > CLOSE:
                os.write(self._terminal, KEYS[axis][int(away[axis] < 0.0)].encode())

    def close(self) -> None:
        """Leave; not by Ctrl-C, which programs in the background are deaf to."""
        self.process.terminate()
        self.process.wait(RUN_TIMEOUT)
        os.close(self._terminal)
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture
def operate() -> Iterator[Callable[[], Operator]]:
    simulation = Simulation()
    simulation.reset("reach", SEED)
    truth = simulation.privileged()
    target = truth.top(simulation.episode.target) + (0.0, 0.0, 0.01)
    simulation.close()
    made: list[Operator] = []

    def start() -> Operator:
        made.append(Operator(target))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_keys_in_a_terminal_solve_a_task_that_is_recorded(operate, record: Any) -> None:  # noqa: F811
    recording: Recording = record(mover="teleop", episodes="1", seed=str(SEED))
    # As a person would: when everything runs already.
    recording.until("all nodes", lambda: recording.told().count(" is active") == 3)
    operator = operate()
    end = steady() + RUN_TIMEOUT
    while recording.process.poll() is None:
        assert steady() < end, recording.told()
        operator.work()
    assert recording.process.returncode == 0, recording.told()
    assert ": success" in recording.told()
    (episode,) = split(read_bag(recording.bag))
    assert episode.success is True and episode.instruction
    assert operator.process.poll() is None  # it drives on until it is told to leave
