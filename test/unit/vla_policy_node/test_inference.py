"""Asking for a chunk keeps nobody waiting, whatever the thread that computes it is at."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy_node.inference import Inference

CHUNK = ActionChunk(np.zeros((4, 7), np.float32), stamp=1.0, step_dt=0.1)
OBSERVATION = Observation({}, np.zeros(8, np.float32), "rise", stamp=1.0)
SECONDS = 20.0
"""To wait for another thread."""


class Bench:
    """An inference thread that stands still in the policy or in the guard, until it may go on."""

    def __init__(self) -> None:
        self.policy_may, self.guard_may = threading.Event(), threading.Event()
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.done = threading.Semaphore(0)
        policy = SimpleNamespace(infer=self._infer)
        guard = SimpleNamespace(look=self._look)
        self.inference = Inference(policy, self.done.release, guard)  # type: ignore[arg-type]

    def ask(self, episode: int) -> None:
        self.inference.ask(episode, OBSERVATION, Memory(seed=0))

    def _infer(self, observations, memories) -> list[ActionChunk]:
        self.begun.put("infer")
        assert self.policy_may.wait(SECONDS)
        return [CHUNK]

    def _look(self, *_) -> None:
        self.begun.put("look")
        assert self.guard_may.wait(SECONDS)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.policy_may.set()
    bench.guard_may.set()
    bench.inference.close(SECONDS)


def test_ask_does_not_wait_for_the_chunk(bench: Bench):
    bench.ask(7)  # returns, though the policy may not
    assert bench.begun.get(timeout=SECONDS) == "infer"
    assert bench.inference.busy
    assert bench.inference.take() is None
    bench.policy_may.set()
    assert bench.done.acquire(timeout=SECONDS)
    thought = bench.inference.take()
    assert thought is not None
    assert (thought.episode, thought.chunk) == (7, CHUNK)
    assert not bench.inference.busy


def test_ask_does_not_wait_for_the_guard(bench: Bench):
    bench.policy_may.set()
    bench.ask(1)
    assert bench.done.acquire(timeout=SECONDS)
    assert bench.inference.take() is not None
    assert [bench.begun.get(timeout=SECONDS) for _ in range(2)] == ["infer", "look"]
    bench.ask(2)  # returns, though the guard is still looking
    assert bench.inference.busy
    assert bench.begun.empty()
    bench.guard_may.set()
    assert bench.done.acquire(timeout=SECONDS)
    thought = bench.inference.take()
    assert thought is not None
    assert thought.episode == 2
