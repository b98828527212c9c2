"""Laws of the chunk player."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from vla_policy.contract import ActionChunk
from vla_policy.errors import PolicyError
from vla_policy.player import ChunkPlayer

START = np.array([0.3, 0.0, 0.17, 0.0, math.pi / 2, 0.0, 0.08])
STEP = 0.1


def chunk(stamp: float, sequence: int = 0, *, seed: int = 0, steps: int = 16) -> ActionChunk:
    rng = np.random.default_rng([seed, sequence])
    targets = (START + rng.normal(0.0, 0.05, (steps, 7))).astype(np.float32)
    return ActionChunk(targets=targets, stamp=stamp, step_dt=STEP, sequence=sequence)


def fresh() -> ChunkPlayer:
    player = ChunkPlayer()
    player.reset(START)
    return player


def sampled(player: ChunkPlayer, time: float) -> np.ndarray:
    pose = player.sample(time)
    assert pose is not None
    return pose


def same_pose(first: np.ndarray, second: np.ndarray, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(first[[0, 1, 2, 6]], second[[0, 1, 2, 6]], atol=atol)
    turn = Rotation.from_rotvec(first[3:6]) * Rotation.from_rotvec(second[3:6]).inv()
    assert turn.magnitude() < atol


def test_nothing_is_due_without_a_chunk() -> None:
    player = fresh()
    assert player.sample(0.0) is None and player.exhausted(0.0)
    assert player.newest is None and player.next_due(2) == -math.inf


def test_each_target_is_given_at_its_time() -> None:
    player, played = fresh(), chunk(5.0)
    player.add(played)
    for index, target in enumerate(played.targets):
        same_pose(sampled(player, 5.0 + (index + 1) * STEP), target)


def test_play_begins_at_what_was_last_commanded() -> None:
    player, played = fresh(), chunk(5.0)
    player.add(played)
    same_pose(sampled(player, 5.0), START)
    middle = sampled(player, 5.05)
    np.testing.assert_allclose(middle[:3], (START[:3] + played.targets[0, :3]) / 2, atol=1e-6)


def test_between_targets_position_is_linear_and_rotation_a_slerp() -> None:
    player, played = fresh(), chunk(0.0)
    player.add(played)
    first, second = played.targets[4].astype(float), played.targets[5].astype(float)
    turn = Slerp([0.0, 1.0], Rotation.from_rotvec([first[3:6], second[3:6]]))
    for share in (0.1, 0.5, 0.9):
        pose = sampled(player, (5 + share) * STEP)
        np.testing.assert_allclose(pose[:3], first[:3] + share * (second - first)[:3], atol=1e-6)
        assert pose[6] == pytest.approx(first[6] + share * (second - first)[6], abs=1e-6)
        assert (Rotation.from_rotvec(pose[3:6]) * turn(share).inv()).magnitude() < 1e-6


def test_rotation_takes_the_shortest_turn_across_pi() -> None:
    player = ChunkPlayer()
    start = START.copy()
    start[3:6] = (0.0, 0.0, math.pi - 0.1)
    player.reset(start)
    target = start.copy()
    target[3:6] = (0.0, 0.0, -math.pi + 0.1)
    player.add(ActionChunk(np.float32([target]), stamp=0.0, step_dt=STEP))
    middle = Rotation.from_rotvec(sampled(player, 0.05)[3:6])
    assert (middle * Rotation.from_rotvec([0, 0, math.pi]).inv()).magnitude() < 1e-5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1.6), min_size=1, max_size=30))
def test_how_often_it_is_asked_changes_nothing(times: list[float]) -> None:
    """It never sums: the same time gives the same pose, however many ticks came before."""
    often, once = fresh(), fresh()
    for player in (often, once):
        player.add(chunk(0.0))
    for time in sorted(times):
        pose = sampled(often, time)
    np.testing.assert_array_equal(pose, sampled(once, max(times)))


def test_the_order_of_arrival_does_not_matter() -> None:
    chunks = [chunk(0.2 * index, index) for index in range(4)]
    results = []
    for order in permutations(chunks):
        player = fresh()
        for each in order:
            player.add(each)
        assert player.newest is chunks[-1]
        results.append([sampled(player, 0.7 + 0.02 * tick) for tick in range(60)])
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_older_and_repeated_chunks_change_nothing() -> None:
    player, other = fresh(), fresh()
    for each in (player, other):
        each.add(chunk(1.0, 5))
        each.sample(1.1)
    player.add(chunk(0.9, 6))
    player.add(chunk(1.0, 5))
    player.add(chunk(1.0, 4))
    assert player.newest is not None and player.newest.sequence == 5
    for tick in range(50):
        time = 1.1 + 0.02 * tick
        np.testing.assert_array_equal(sampled(player, time), sampled(other, time))


@pytest.mark.parametrize("latency", [0.0, 0.04, 0.13, 0.5])
def test_a_new_chunk_is_joined_without_a_jump_however_late(latency: float) -> None:
    player = fresh()
    player.add(chunk(0.0, 0))
    arrival, late = 0.5 + latency, chunk(0.5, 1, seed=1)
    tick, time, last, steps = 0.02, 0.0, START, []
    added = False
    while time < 1.4:
        if time >= arrival - 1e-9 and not added:
            player.add(late)
            added = True
        pose = sampled(player, time)
        steps.append(np.abs(pose - last)[:3].max())
        last, time = pose, time + tick
    assert added
    # Targets are apart by some 0.05 m a step of five ticks; a jump would be far more than a tick.
    assert max(steps) < 0.25 / 2
    after = 0.5 + STEP * (math.floor(latency / STEP) + 3)
    index = round((after - 0.5) / STEP) - 1
    same_pose(sampled(player, after), late.targets[index])


def test_a_late_chunk_starts_exactly_at_the_last_command() -> None:
    player = fresh()
    player.add(chunk(0.0, 0))
    last = sampled(player, 0.98)
    player.add(chunk(0.5, 1, seed=1))
    same_pose(sampled(player, 0.98), last)


def test_a_chunk_that_has_run_out_gives_none_and_the_next_starts_from_the_last_command() -> None:
    player = fresh()
    player.add(chunk(0.0, 0, steps=4))
    last = sampled(player, 0.4)
    assert not player.exhausted(0.4) and player.exhausted(0.41)
    assert player.sample(0.41) is None
    player.add(chunk(3.0, 1))
    same_pose(sampled(player, 3.0), last)


def test_a_chunk_all_in_the_past_has_run_out() -> None:
    player = fresh()
    player.add(chunk(0.0, 0, steps=16))
    sampled(player, 1.5)
    player.add(chunk(0.1, 1, steps=2))
    assert player.sample(1.52) is None


def test_the_next_chunk_is_wanted_after_some_steps_of_the_newest() -> None:
    player = fresh()
    player.add(chunk(2.0))
    assert player.next_due(2) == pytest.approx(2.2)


def test_what_is_given_cannot_be_changed_from_outside() -> None:
    player = fresh()
    player.add(chunk(0.0))
    sampled(player, 0.3)[:] = 9.0
    assert sampled(player, 0.3).max() < 5.0


@pytest.mark.parametrize(
    "targets",
    [np.zeros((0, 7)), np.zeros((4, 6)), np.full((4, 7), np.nan), np.zeros(7)],
    ids=["empty", "narrow", "nan", "flat"],
)
def test_a_broken_chunk_is_an_error_and_the_one_in_play_stays(targets: np.ndarray) -> None:
    player, played = fresh(), chunk(0.0)
    player.add(played)
    with pytest.raises(PolicyError, match="chunk"):
        player.add(ActionChunk(targets.astype(np.float32), stamp=1.0, step_dt=STEP, sequence=1))
    assert player.newest is played
    assert player.sample(0.2) is not None


def test_a_broken_start_is_an_error() -> None:
    for pose in (np.zeros(6), np.full(7, np.nan)):
        with pytest.raises(PolicyError, match="pose"):
            ChunkPlayer().reset(pose)
