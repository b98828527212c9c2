"""When the pilot asks for a chunk: with the images of the moment, before or after its state."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_policy.contract import ActionChunk, Memory
from vla_policy_node.camera import Camera, Cameras
from vla_policy_node.inference import Thought
from vla_policy_node.pilot import Pilot

PERIOD, REPLAN_STEPS = 0.1, 2
NAMES = ("front", "wrist")


class Policy:
    """Only what a pilot calls."""

    def start(self, seed: int) -> Memory:
        return Memory(seed=seed)


class Inference:
    """Notes the stamps of what it is asked for."""

    def __init__(self) -> None:
        self.busy = False
        self.asked: list[float] = []

    def ask(self, episode: int, observation: Any, memory: Memory) -> None:
        self.busy = True
        self.episode = episode
        self.asked.append(observation.stamp)


def picture(raw: bytes) -> Any:
    sec, nanosec = struct.unpack_from("<iI", raw, 4)
    pixels = np.zeros((2, 2, 3), np.uint8)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec)),
        encoding="rgb8",
        height=2,
        width=2,
        step=6,
        data=pixels.tobytes(),
    )


class Bench:
    """A pilot that follows an instruction, with a chunk in play that began at 10 s."""

    def __init__(self) -> None:
        self.cameras = [Camera(name, picture) for name in NAMES]
        self.inference = Inference()
        cameras = Cameras(self.cameras, timeout=1.0, period=PERIOD)
        self.pilot = Pilot(Policy(), self.inference, cameras)  # type: ignore[arg-type]
        self.pilot.begin("pick up the red cube", 0)
        self.image(10.0)
        self.state(10.0)
        self.take_chunk(10.0)
        for tick in range(1, 10):
            self.state(10.0 + 0.02 * tick)
            if tick == 5:
                self.image(10.1)
        assert self.inference.asked == [10.0]

    def image(self, stamp: float, names: tuple[str, ...] = NAMES) -> None:
        nanoseconds = round(stamp * 1e9)
        raw = b"\0\1\0\0" + struct.pack("<iI", *divmod(nanoseconds, 1_000_000_000))
        for camera in self.cameras:
            if camera.name in names:
                camera.put(raw)
                self.pilot.see_image(REPLAN_STEPS)

    def state(self, stamp: float) -> None:
        stamp = round(stamp, 6)
        commanded = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.0, 0.08])
        self.pilot.see_state(stamp, np.append(commanded, 0.08), commanded)
        self.pilot.answer(stamp, REPLAN_STEPS)

    def take_chunk(self, stamp: float) -> None:
        chunk = ActionChunk(
            targets=np.tile(np.float32([0.3, 0.0, 0.2, 0.0, 1.5, 0.0, 0.08]), (16, 1)),
            stamp=stamp,
            step_dt=0.1,
        )
        self.inference.busy = False
        self.pilot.take(Thought(self.inference.episode, chunk))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_chunk_that_is_due_waits_for_the_images_of_its_moment(bench: Bench) -> None:
    bench.state(10.2)
    assert bench.inference.asked == [10.0]
    bench.image(10.2, ("front",))
    assert bench.inference.asked == [10.0]
    bench.image(10.2, ("wrist",))
    assert bench.inference.asked == [10.0, 10.2]
    bench.state(10.22)
    assert bench.inference.asked == [10.0, 10.2]


def test_images_that_came_first_wait_for_the_state_of_their_moment(bench: Bench) -> None:
    bench.image(10.2)
    assert bench.inference.asked == [10.0]
    bench.state(10.2)
    assert bench.inference.asked == [10.0, 10.2]


def test_an_image_that_does_not_come_is_waited_for_one_period(bench: Bench) -> None:
    for tick in range(10, 15):
        bench.state(10.0 + 0.02 * tick)
        assert bench.inference.asked == [10.0]
    bench.state(10.3)
    assert bench.inference.asked == [10.0, 10.1]


def test_images_that_are_always_late_are_not_waited_for_again(bench: Bench) -> None:
    for tick in range(10, 16):
        bench.state(10.0 + 0.02 * tick)
    assert bench.inference.asked == [10.0, 10.1]
    bench.image(10.2)  # 0.1 s old when it comes
    bench.take_chunk(10.1)
    bench.state(10.32)
    assert bench.inference.asked == [10.0, 10.1, 10.2]


def test_an_image_asks_for_nothing_while_nothing_is_followed(bench: Bench) -> None:
    bench.state(10.2)
    bench.pilot.stop()
    bench.image(10.2)
    assert bench.inference.asked == [10.0]
