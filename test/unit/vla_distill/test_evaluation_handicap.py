"""Laws of policies that are denied something."""

from __future__ import annotations

import numpy as np
import pytest

from vla_distill.errors import DistillError
from vla_distill.evaluation.handicap import Blindfold, SomeLayers, random_half
from vla_policy.contract import Observation
from vla_policy.model.policy import VlaPolicy


def observation(front: int, wrist: int) -> Observation:
    return Observation(
        images={
            "front": np.full((32, 32, 3), front, np.uint8),
            "wrist": np.full((32, 32, 3), wrist, np.uint8),
        },
        state=np.array([0.3, 0, 0.2, 0, 1.57, 0, 0.08, 0.08], np.float32),
        instruction="pick up the red cube",
        stamp=0.0,
        input_stamps={"front": 0.0, "wrist": 0.0, "state": 0.0},
    )


def targets(policy, front: int, wrist: int) -> np.ndarray:
    return policy.infer([observation(front, wrist)], [policy.start(0)])[0].targets


def test_a_blindfolded_policy_does_not_see_that_camera_and_sees_the_other() -> None:
    policy = VlaPolicy.random("test")
    for name in ("front", "wrist"):  # the head's last layer starts at zero, so let it speak
        assert name in policy.cameras
    policy.network.head.out.weight.data.normal_()
    blind = Blindfold(policy, "front")
    assert np.array_equal(targets(blind, 0, 30), targets(blind, 200, 30))
    assert np.array_equal(targets(blind, 200, 30), targets(policy, 128, 30))
    assert not np.array_equal(targets(blind, 0, 30), targets(blind, 0, 220))
    assert blind.policy_hash != policy.policy_hash


def test_a_camera_that_the_policy_lacks_is_refused() -> None:
    with pytest.raises(DistillError, match="rear"):
        Blindfold(VlaPolicy.random("test"), "rear")


def test_only_the_chosen_layers_run() -> None:
    policy = VlaPolicy.random("test")
    policy.plan = SomeLayers((0, 2))
    report = policy.infer([observation(0, 0)], [policy.start(0)])[0].report
    assert report.layers_run == (0, 2)


def test_random_halves_are_halves_and_differ() -> None:
    halves = {random_half(12, draw) for draw in range(5)}
    assert len(halves) > 1
    assert all(len(set(half)) == 6 and max(half) < 12 for half in halves)
    assert random_half(12, 1) == random_half(12, 1)
