"""Observations to calibrate on come from a real dataset, even over episodes, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_distill.calibration import FROM_ONE_EPISODE, draw_observations
from vla_distill.dataset import DatasetWriter, EpisodeFrames
from vla_distill.errors import DistillError
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe
from vla_policy.model.policy import VlaPolicy

CAMERAS = ("front", "wrist")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes of which each says in its state who and when it is."""
    writer = DatasetWriter(tmp_path_factory.mktemp("data") / "demo", CAMERAS, (32, 32))
    for seed in range(3):
        length = 12 + seed
        state = np.full((length, 8), 0.01 * seed, np.float32)
        state[:, 0] = 0.01 * np.arange(length)
        frames = np.full((length, 32, 32, 3), 80 + 30 * seed, np.uint8)
        writer.add_episode(
            EpisodeFrames(
                images=dict.fromkeys(CAMERAS, frames),
                state=state,
                action=np.zeros((length, 7), np.float32),
                keypoints=np.zeros((length, 6), np.float32),
                disturbance=np.zeros(length, np.int64),
                instruction=f"pick up the red cube {seed}",
                task="pick",
                seed=seed,
            )
        )
    return writer.finish()


def test_frames_are_drawn_evenly_and_the_same_each_time(dataset: Path) -> None:
    drawn, again = (draw_observations(dataset, 12) for _ in range(2))
    assert len(drawn) == 12
    for one, other in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(one.state, other.state)
        one.validate(CAMERAS)
        episode = int(one.instruction[-1])
        assert abs(float(one.images["front"].mean()) - (80 + 30 * episode)) < 8
        assert one.state[7] == pytest.approx(0.01 * episode)
    first = [o for o in drawn if o.instruction == drawn[0].instruction]
    assert len(first) == FROM_ONE_EPISODE
    assert first[0].state[0] == 0.0 and first[-1].state[0] > 0.1
    assert len({o.instruction for o in drawn}) == 2


def test_all_there_is_comes_where_more_is_wanted(dataset: Path) -> None:
    assert len(draw_observations(dataset, 1000)) == 3 * FROM_ONE_EPISODE


def test_none_is_refused(dataset: Path) -> None:
    with pytest.raises(DistillError, match="at least 1"):
        draw_observations(dataset, 0)


def test_a_policy_calibrates_on_them(dataset: Path) -> None:
    methods = {"layer_importance": {"keep": 2}, "mlp_sparsity": {"refit": True}}
    recipe = Recipe.from_dict({"methods": methods})
    policy = accelerate(VlaPolicy.random("test"), recipe, draw_observations(dataset, 6))
    assert sorted(policy.plan.recipe.ranking) == [0, 1, 2]
