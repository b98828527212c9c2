"""Laws of the disturbances: labels stay clean, nothing goes below the table, seeds decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vla_distill.collection.disturbance import Disturbance, DisturbanceConfig, Situation

STEPS = 80


def run(noise: float, seed: int, **config: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """Commands toward a point on the table, clean and executed, and what happened."""
    rng = np.random.default_rng(seed)
    disturbance = Disturbance(DisturbanceConfig(**config), noise, True, rng, 0.1)
    clean, executed = [], []
    commanded = np.array([0.3, 0.0, 0.25, 0.0, np.pi / 2, 0.0, 0.08])
    target = np.array([0.35, 0.1, 0.02])
    for step in range(STEPS):
        command = commanded.copy()
        command[:3] += np.clip(target - commanded[:3], -0.02, 0.02)
        situation = Situation(step, commanded, 0.08, commanded[:3], target, target)
        kept = command.copy()
        commanded = disturbance.apply(command, situation)
        np.testing.assert_array_equal(command, kept)
        clean.append(command)
        executed.append(commanded)
    return np.array(clean), np.array(executed), disturbance.description


def test_no_noise_executes_the_very_command() -> None:
    clean, executed, description = run(0.0, 3)
    np.testing.assert_array_equal(clean, executed)
    assert description == "none"


def test_the_seed_decides() -> None:
    first, again, other = run(1.0, 5), run(1.0, 5), run(1.0, 6)
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("seed", range(10))
def test_drift_is_smooth_stays_above_the_table_and_leaves_the_gripper(seed: int) -> None:
    clean, executed, description = run(1.0, seed, drift_share=1.0, error_share=0.0)
    assert description == "drift"
    offset = executed - clean
    assert 0.001 < np.abs(offset[:, :3]).max() < 0.06
    assert (executed[:, 2] >= np.minimum(clean[:, 2], 0.03) - 1e-9).all()
    np.testing.assert_array_equal(offset[:, 6], 0.0)
    assert (offset == 0.0).all(1).any()  # and there are calm stretches


def test_errors_pass() -> None:
    kinds = set()
    for seed in range(30):
        clean, executed, description = run(1.0, seed, drift_share=0.0, error_share=1.0)
        kinds.add(description)
        assert (np.abs(executed - clean).max(1) > 0).sum() <= 17
        np.testing.assert_array_equal(executed[-10:], clean[-10:])
        assert np.abs(np.diff(executed[:, :3], axis=0)).max() < 0.06
    assert {"displace", "miss"} <= kinds


def test_a_hand_that_leaves_early_does_so_just_short_of_the_goal_and_rises() -> None:
    config = DisturbanceConfig(drift_share=0.0, error_share=1.0)
    left = 0
    for seed in range(24):
        disturbance = Disturbance(config, 1.0, False, np.random.default_rng(seed), 0.1)
        commanded = np.array([0.2, 0.0, 0.02, 0.0, np.pi / 2, 0.0, 0.0])
        goal = np.array([0.42, 0.0, 0.02])
        for step in range(STEPS):
            ahead = commanded[:3] + (0.04, 0.0, 0.0)  # where the object is, pushed along
            command = commanded.copy()
            command[:3] += np.clip(goal - ahead, -0.02, 0.02)
            command[2] = 0.02
            situation = Situation(step, commanded, 0.0, commanded[:3], ahead, goal)
            before = disturbance.description
            commanded = disturbance.apply(command, situation)
            if "leave" in disturbance.description and "leave" not in before:
                left += 1
                assert 0.0 < np.linalg.norm(goal - ahead) < config.short
                for _ in range(12):  # the expert would push on
                    if disturbance.level != 2:
                        break
                    assert commanded[0] <= command[0] + 1e-9
                    highest = commanded[2]
                    situation = replace(situation, commanded=commanded, gripper=commanded[:3])
                    commanded = disturbance.apply(command, situation)
                assert highest > 0.08
                break
    assert left >= 4


def test_a_hand_that_goes_astray_comes_down_beside_the_object_and_stops_behind_its_middle() -> None:
    config = DisturbanceConfig(drift_share=0.0, error_share=1.0)
    astray = 0
    for seed in range(24):
        disturbance = Disturbance(config, 1.0, False, np.random.default_rng(seed), 0.1)
        commanded = np.array([0.2, 0.0, 0.085, 0.0, np.pi / 2, 0.0, 0.0])
        target, goal = np.array([0.3, 0.0, 0.02]), np.array([0.45, 0.0, 0.0])
        path = []
        for step in range(STEPS):
            clean = commanded.copy()
            clean[:2] += np.clip([0.23, 0.0] - commanded[:2], -0.02, 0.02)
            situation = Situation(step, commanded, 0.0, commanded[:3], target, goal)
            commanded = disturbance.apply(clean, situation)
            if disturbance.level == 2:
                path.append(commanded)
        if disturbance.description != "astray":
            continue
        astray += 1
        beside = np.linalg.norm(np.array(path)[:, :2] - target[:2], axis=1)
        heights = np.array(path)[:, 2]
        low = heights < 0.03
        assert low.any() and config.beside[0] - 1e-9 <= beside[low][0] <= config.beside[1] + 1e-9
        assert beside[low][0] - config.shove - 1e-9 <= beside[low].min() <= beside[low][0] + 1e-9
        assert (np.diff(heights) < 1e-9).all() and len(path) <= 20
    assert astray >= 4
