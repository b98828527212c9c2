"""Recordings as a user makes them: what the bag holds is what the live node saw, to the bit."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from vla_distill.bags.content import Bag, read_bag
from vla_distill.bags.episode import END, START, split
from vla_distill.bags.replay import replay
from vla_distill.bags.to_dataset import to_dataset
from vla_distill.dataset.reader import Dataset
from vla_policy_node.clock import steady

ROOT = Path(__file__).parents[2]
DOUBLES = ROOT / "test" / "doubles"
sys.path.insert(0, str(DOUBLES))
import digest_policy  # noqa: E402

RUN_TIMEOUT = 150.0


class Recording:
    """``vla launch record`` in a process group of its own."""

    def __init__(self, folder: Path, **arguments: str) -> None:
        self.log, self.bag = folder / "launch.log", folder / "bag.mcap"
        words = [f"{name}:={value}" for name, value in arguments.items()]
        words += [f"bag:={self.bag}", "task:=reach"]
        path = os.pathsep.join([str(DOUBLES), os.environ.get("PYTHONPATH", "")])
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vla_distill.cli.main", "launch", "record", *words],
                env={**os.environ, "PYTHONPATH": path}, cwd=folder, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def told(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, what: str, done: Callable[[], bool]) -> None:
        end = steady() + RUN_TIMEOUT
        while not done():
            assert self.process.poll() is None, f"{what}: the launch has ended\n{self.told()}"
            assert steady() < end, f"{what}: not within {RUN_TIMEOUT} s\n{self.told()}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)

    def end(self, number: signal.Signals) -> None:
        """Ctrl-C in a terminal, or a kill: the signal goes to the whole group."""
        os.killpg(self.process.pid, number)
        self.process.wait(RUN_TIMEOUT)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    made: list[Recording] = []

    def start(**arguments: str) -> Recording:
        made.append(Recording(tmp_path, **arguments))
        return made[-1]

    yield start
    for each in made:
        each.close()


def read(path: Path) -> Bag:
    bag = read_bag(path)
    assert bag.states and set(bag.images) == {"front", "wrist"}
    return bag


def test_what_the_live_policy_saw_is_in_the_bag_to_the_bit(record):
    recording = record(mover="policy", policy="python:digest_policy.make", episodes="2")
    recording.process.wait(RUN_TIMEOUT)
    assert recording.process.returncode == 0, recording.told()
    bag = read(recording.bag)
    assert not bag.faults
    first, second = split(bag)
    assert (first.task, first.seed, second.seed) == ("reach", 0, 1)
    assert first.split_by == "marks" and first.success is False
    # Every chunk's numbers hang on every byte of its observation.
    results = replay(bag, digest_policy.DigestPolicy())
    assert len(results) >= 20
    assert all(result.equal for result in results), [r for r in results if not r.equal][:3]
    # No image, no state is missing: the simulator ran in lockstep.
    for episode in (first, second):
        stamps = [entry.stamp for entry in episode.of(bag.states)]
        gaps = [b - a for a, b in pairwise(stamps)]
        assert max(gaps) == pytest.approx(0.02, abs=1e-6)


def test_a_recording_ended_by_ctrl_c_is_whole_and_trains(record, tmp_path):
    recording = record(mover="expert", episodes="50")
    recording.until("an episode and a part", lambda: "1/50" in recording.told())
    recording.end(signal.SIGINT)
    assert recording.process.returncode == 0, recording.told()
    assert sorted(p.name for p in tmp_path.glob("*.mcap")) == ["bag.mcap"]
    bag = read(recording.bag)
    assert not bag.faults
    kinds = [entry.value.kind for entry in bag.marks]
    assert kinds.count(START) == kinds.count(END)
    episodes = split(bag)
    assert episodes[0].success is True
    to_dataset(bag, tmp_path / "dataset")
    frames = Dataset(tmp_path / "dataset").episode(0)
    assert frames.instruction == episodes[0].instruction and len(frames) > 10


def test_what_was_recorded_before_a_kill_can_be_read(record, tmp_path):
    recording = record(mover="expert", episodes="50")
    recording.until("two episodes", lambda: "2/50" in recording.told())
    recording.end(signal.SIGKILL)
    (part,) = tmp_path.glob("*.mcap")
    assert part.name == "bag.part.mcap"
    episodes = split(read(part))
    assert episodes and episodes[0].success is True
