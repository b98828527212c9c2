"""Laws of collection: recorded actions solve the task again, seeds stay apart, nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("MUJOCO_GL", "egl")

from vla_distill.collect import collect
from vla_distill.collection.config import CollectConfig
from vla_distill.collection.demonstration import Demonstrator
from vla_distill.collection.errors import CollectionError
from vla_distill.dataset import Dataset, DatasetError, DatasetWriter
from vla_distill.errors import DistillError

SEED = 1_000_000


def unseen(camera: str) -> np.ndarray:
    """No picture; rendering takes most of the time."""
    return np.zeros((96, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def demonstrator():
    made = Demonstrator(noise=0.0)
    yield made
    made.close()


@pytest.mark.parametrize("task", ["reach", "pick", "place"])
@pytest.mark.parametrize("steps", [1, 2])
def test_recorded_actions_solve_the_task_again(
    demonstrator: Demonstrator, task: str, steps: int
) -> None:
    """In chunks of 16 of which some steps are played, as a policy's would be."""
    shown = demonstrator.run(task, SEED + 3, unseen)
    assert shown.success and shown.frames.noise == "none" and not shown.frames.disturbance.any()
    actions = shown.frames.action
    demonstrator.reset(task, SEED + 3)
    solved = False
    for step in range(0, len(actions) + 10, steps):
        rows = np.minimum(np.arange(step, step + 16), len(actions) - 1)
        demonstrator.play(actions[rows], steps)
        solved = solved or demonstrator.sim.status().success
    assert solved


def test_actions_lead_the_state(demonstrator: Demonstrator) -> None:
    """An action is due one step after its frame: there the arm is, up to its lag."""
    frames = demonstrator.run("reach", SEED + 4, unseen).frames
    early = np.abs(frames.action[:-1, :3] - frames.state[:-1, :3]).max()
    due = np.abs(frames.action[:-1, :3] - frames.state[1:, :3]).max()
    assert due < 0.5 * early < 0.02


def test_noise_shows_recovery() -> None:
    noisy = Demonstrator(noise=1.0)
    runs = [noisy.run("pick", SEED + n, unseen) for n in range(4)]
    noisy.close()
    assert any(run.frames.disturbance.any() for run in runs)
    assert sum(run.success for run in runs) >= 3
    for run in runs:
        steps = np.linalg.norm(np.diff(run.frames.action[:, :3], axis=0), axis=1)
        assert steps.max() < 0.08  # labels stay consistent in time


def test_collection_goes_on_where_it_stopped(tmp_path: Path) -> None:
    config = CollectConfig(tmp_path / "set", tasks="reach", episodes=1, processes=1, noise=0.0)
    first = collect(config, progress=False)
    assert first["tasks"][0]["kept"] == 1 and first["frames"] == len(Dataset(config.out))
    assert collect(config, progress=False) == first  # complete: nothing is done again
    with pytest.raises(DatasetError, match="another dataset"):
        collect(CollectConfig(config.out, tasks="reach", episodes=2, processes=1), progress=False)
    record = Dataset(config.out).episodes[0]
    assert (record.task, record.seed) == ("reach", SEED)


def test_what_was_collected_is_not_thrown_away_by_asking_for_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    words = {"tasks": "reach", "processes": 1, "noise": 0.0}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DatasetWriter, "finish", interrupted)
        collect(CollectConfig(tmp_path / "set", episodes=2, **words), progress=False)
    with pytest.raises(CollectionError, match=r"got 2, expected at most the 1.*--episodes 2"):
        collect(CollectConfig(tmp_path / "set", episodes=1, **words), progress=False)
    summary = collect(CollectConfig(tmp_path / "set", episodes=2, **words), progress=False)
    assert summary["resumed"] == summary["episodes"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"seed": 7}, "seed.*1000000"),
        ({"seed": 99_999_999}, "seed: got 99999999, expected 1000000 to 99999000"),
        ({"processes": -3}, "processes: got -3, expected 0 or more"),
        ({"seed": 99_999}, "seed"),
        ({"episodes": 0}, "episodes"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_impossible_plans_are_refused(tmp_path: Path, words: dict, message: str) -> None:
    with pytest.raises(DistillError, match=message):
        collect(CollectConfig(tmp_path / "set", **words), progress=False)


def test_a_second_collection_is_kept_away(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".set.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CollectionError, match="one at a time"):
            collect(CollectConfig(tmp_path / "set"), progress=False)
