"""Laws of joining chunks: plain switching, fading, temporal ensembling, real-time chunking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.utils.flop_counter import FlopCounterMode

from vla_policy.chunking import CHUNKINGS, make_chunking
from vla_policy.chunking.ensemble import TemporalEnsemble
from vla_policy.chunking.fade import Fade
from vla_policy.chunking.realtime import RealTimeChunking
from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.errors import PolicyError
from vla_policy.model import flops
from vla_policy.model.actions import ACTION_SIZE
from vla_policy.model.guidance import Guidance, prefix, prefix_weights
from vla_policy.model.policy import VlaPolicy
from vla_policy.trajectory import due_times, poses_at

START = np.array([0.3, 0.0, 0.17, 0.0, math.pi / 2, 0.0, 0.08])
STEP = 0.1
EXACT = 1e-5
"""How well a frozen target is repeated, through float32 and another anchor [m, rad]."""


@pytest.fixture(scope="module")
def policy() -> VlaPolicy:
    policy = VlaPolicy.random("test")
    # Zero at birth, which hides differences; small, so that rotations stay near the anchor.
    torch.nn.init.normal_(policy.network.head.out.weight, std=0.1)
    return policy


def observation(stamp: float, seed: int = 0) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (32, 32, 3), np.uint8) for name in ("front", "wrist")}
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32)
    return Observation(images, state + np.float32(0.003 * seed), "pick up the cube", stamp)


def follow(
    policy: VlaPolicy, delay: float, shift: float = 0.2, seed: int = 3
) -> tuple[ActionChunk, ActionChunk, ActionChunk]:
    """A chunk, the one after it that goes on from it, and what that one would be if free."""
    memory = policy.start(seed)
    old = policy.infer([observation(1.0)], [memory])[0]
    memory.frozen_until = 1.0 + shift + delay
    free = replace(memory, frozen_until=None)
    later = observation(1.0 + shift, seed=1)
    return old, policy.infer([later], [memory])[0], policy.infer([later], [free])[0]


def apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distance of poses: the worst of metres, radians and metres of opening. Shape (T,)."""
    turn = Rotation.from_rotvec(first[:, 3:6]) * Rotation.from_rotvec(second[:, 3:6]).inv()
    moved = np.linalg.norm(first[:, :3] - second[:, :3], axis=1)
    return np.maximum(np.maximum(moved, turn.magnitude()), np.abs(first[:, 6] - second[:, 6]))


@pytest.mark.parametrize("name", sorted(CHUNKINGS))
def test_the_first_chunk_of_an_episode_is_the_plain_one(policy: VlaPolicy, name: str) -> None:
    chunking, memory = make_chunking(name, policy), policy.start(0)
    plain = policy.infer([observation(1.0)], [policy.start(0)])[0]
    chunking.ask(memory, 1.0)
    made = policy.infer([observation(1.0)], [memory])[0]
    played = chunking.receive(made, 1.2)
    np.testing.assert_array_equal(played.targets, plain.targets)
    assert played.continues is None
    assert played.report.gflops == plain.report.gflops


@pytest.mark.parametrize("delay", [0.04, 0.1, 0.32])
@pytest.mark.parametrize("shift", [0.2, 0.2345])
def test_what_is_frozen_is_repeated(policy: VlaPolicy, delay: float, shift: float) -> None:
    old, new, free = follow(policy, delay, shift)
    frozen = math.ceil(delay / STEP - 1e-9)
    # Times are rounded to 0.1 ms, in which the old chunk moves by less than a thousandth of a step.
    expected = poses_at(old.targets, due_times(old), due_times(new))
    assert apart(new.targets, expected)[:frozen].max() < EXACT
    assert apart(free.targets, expected)[:frozen].max() > 100 * EXACT


def test_what_is_not_frozen_is_pulled_towards_the_old_chunk_and_the_end_least(
    policy: VlaPolicy,
) -> None:
    old, new, free = follow(policy, 0.1)
    expected = poses_at(old.targets, due_times(old), due_times(new))
    overlap = slice(1, 13)
    assert (
        apart(new.targets, expected)[overlap].mean() < apart(free.targets, expected)[overlap].mean()
    )
    assert not np.array_equal(new.targets, free.targets)


def test_the_soft_mask_is_that_of_the_paper() -> None:
    weights = prefix_weights(3, 12, 16)
    assert (weights[:3] == 1.0).all() and (weights[12:] == 0.0).all()
    assert (np.diff(weights[2:13]) < 0.0).all()
    for index in range(3, 12):
        share = (12 - index) / (12 - 3 + 1)
        expected = share * (math.exp(share) - 1) / (math.e - 1)
        assert weights[index] == pytest.approx(expected)
    assert (prefix_weights(16, 16, 16) == 1.0).all()


def test_a_chunk_that_has_run_out_guides_nothing(policy: VlaPolicy) -> None:
    old, new, free = follow(policy, 0.1, shift=1.7)
    np.testing.assert_array_equal(new.targets, free.targets)
    assert new.continues is None
    assert prefix(old, 2.7, 2.8, 16, STEP) is None
    assert prefix(old, 0.9, 1.0, 16, STEP) is None  # time went back


def test_free_and_guided_chunks_go_in_one_batch(policy: VlaPolicy) -> None:
    alone = follow(policy, 0.2)
    memory = policy.start(3)
    policy.infer([observation(1.0)], [memory])
    later, other = observation(1.2, seed=1), observation(4.0, seed=2)
    memory.frozen_until = 1.4
    together = policy.infer([later, other], [memory, policy.start(9)])
    free = policy.infer([other], [policy.start(9)])[0]
    np.testing.assert_allclose(together[0].targets, alone[1].targets, atol=1e-5)
    np.testing.assert_allclose(together[1].targets, free.targets, atol=1e-5)
    assert together[0].continues is not None and together[1].continues is None


def test_the_report_counts_what_guidance_costs(policy: VlaPolicy) -> None:
    config, head = policy.config, policy.network.head
    steps, shape = config.head.steps, (1, config.horizon, ACTION_SIZE)
    condition = torch.zeros(1, 2 + config.pointers, config.language.width)
    guidance = Guidance(torch.zeros(shape), torch.full((*shape[:2], 1), 0.5))
    with FlopCounterMode(display=False) as counter:
        # The counter hooks the inputs of modules, and knows no leaves there.
        guidance.steer(lambda x: head(x * 1.0, torch.ones(1), condition), torch.zeros(shape), 1.0)
    counted = flops.head_step(config) + flops.guidance(config, 1, 1)
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.01)
    _, new, free = follow(policy, 0.1)
    extra = 1e9 * (new.report.gflops - free.report.gflops)
    assert extra == pytest.approx(flops.guidance(config, steps, steps))


def test_the_delay_is_the_longest_of_those_measured() -> None:
    chunking, memory = RealTimeChunking(), Memory(0)
    for stamp, delay in ((1.0, 0.1), (2.0, 0.3), (3.0, 0.2)):
        chunking.ask(memory, stamp)
        chunking.receive(chunk(stamp), stamp + delay)
    chunking.ask(memory, 4.0)
    assert memory.frozen_until == pytest.approx(4.3)
    chunking.receive(chunk(2.0), 9.0)  # a duplicate, late: says nothing of the delay
    chunking.ask(memory, 5.0)
    assert memory.frozen_until == pytest.approx(5.3)
    memory.previous = chunk(5.0)  # computed, and lost on its way
    chunking.ask(memory, 5.5)
    assert memory.previous is not None and memory.previous.stamp == 3.0
    chunking.forget()
    chunking.ask(memory, 6.0)
    assert memory.frozen_until is None


def chunk(stamp: float, sequence: int = 0, *, seed: int = 0, steps: int = 16) -> ActionChunk:
    rng = np.random.default_rng([seed, sequence])
    targets = (START + rng.normal(0.0, 0.05, (steps, 7))).astype(np.float32)
    return ActionChunk(targets=targets, stamp=stamp, step_dt=STEP, sequence=sequence)


def test_an_ensemble_of_equal_predictions_changes_nothing() -> None:
    ensemble, first = TemporalEnsemble(), chunk(0.0)
    ensemble.receive(first, 0.0)
    rest = replace(first, targets=first.targets[3:], stamp=0.3, sequence=1)
    played = ensemble.receive(rest, 0.3)
    assert apart(played.targets, rest.targets).max() < 1e-6


def test_an_ensemble_weighs_the_oldest_most_and_the_tail_is_the_newest_alone() -> None:
    ensemble = TemporalEnsemble(decay=0.5)
    chunks = [chunk(0.2 * index, index, seed=1) for index in range(3)]
    played = [ensemble.receive(each, each.stamp) for each in chunks][-1]
    weights = np.exp(-0.5 * np.arange(3))
    rows = np.stack([chunks[0].targets[4], chunks[1].targets[2], chunks[2].targets[0]])
    expected = (weights[:, None] * rows).sum(0) / weights.sum()
    np.testing.assert_allclose(played.targets[0, :3], expected[:3], atol=1e-6)
    np.testing.assert_array_equal(played.targets[-2:, :3], chunks[2].targets[-2:, :3])
    assert (played.stamp, played.sequence) == (chunks[2].stamp, chunks[2].sequence)


def test_an_ensemble_takes_no_chunk_twice_and_none_out_of_order() -> None:
    ensemble, other = TemporalEnsemble(), TemporalEnsemble()
    first, second, third = (chunk(0.2 * index, index) for index in range(3))
    for each in (first, second, second, first):
        ensemble.receive(each, 0.5)
    for each in (first, second):
        other.receive(each, 0.5)
    np.testing.assert_array_equal(
        ensemble.receive(third, 0.6).targets, other.receive(third, 0.6).targets
    )


def test_a_forgotten_ensemble_begins_anew() -> None:
    ensemble, second = TemporalEnsemble(), chunk(0.2, 1)
    ensemble.receive(chunk(0.0), 0.0)
    ensemble.forget()
    assert ensemble.receive(second, 0.2) is second


def test_a_chunk_fades_in_and_is_then_played_alone() -> None:
    fade, old, new = Fade(duration=0.2), chunk(0.0), chunk(0.2, 1)
    assert fade.receive(old, 0.0) is old
    played = fade.receive(new, 0.25)  # 0.05 s before the first target is due
    before = poses_at(old.targets, due_times(old), due_times(new))
    share = np.array([0.25, 0.75])[:, None]
    expected = before[:2] + share * (new.targets[:2] - before[:2])
    np.testing.assert_allclose(
        played.targets[:2, [0, 1, 2, 6]], expected[:, [0, 1, 2, 6]], atol=1e-6
    )
    for row in range(2):
        whole, part = (
            Rotation.from_rotvec(before[row, 3:6]).inv() * Rotation.from_rotvec(to[row, 3:6])
            for to in (new.targets, played.targets)
        )
        assert part.magnitude() == pytest.approx(share[row, 0] * whole.magnitude(), abs=1e-5)
    np.testing.assert_array_equal(played.targets[2:], new.targets[2:])


def test_a_seam_of_a_fade_is_as_long_as_it_says() -> None:
    # Still at 0, told to be at 1 cm: the velocity after the seam is 1 cm over the duration.
    still, moved = chunk(0.0), chunk(0.2, 1)
    still.targets[:], moved.targets[:] = START, START
    moved.targets[:, 0] += 0.01
    fade = Fade(duration=0.2)
    fade.receive(still, 0.0)
    played = fade.receive(moved, 0.2)
    np.testing.assert_allclose(played.targets[:3, 0] - START[0], [0.005, 0.01, 0.01], atol=1e-6)


def test_what_the_old_chunk_does_not_reach_is_the_new_one_alone() -> None:
    fade, late = Fade(duration=1.0), chunk(1.0, 1)
    fade.receive(chunk(0.0, steps=12), 0.0)  # known until 1.2 s
    played = fade.receive(late, 1.05)
    assert not np.array_equal(played.targets[1], late.targets[1])
    np.testing.assert_array_equal(played.targets[2:], late.targets[2:])


def test_a_fade_takes_no_chunk_twice_and_none_out_of_order() -> None:
    fade, (first, second) = Fade(), (chunk(0.0), chunk(0.2, 1))
    fade.receive(first, 0.0)
    played = fade.receive(second, 0.25)
    assert fade.receive(second, 0.3) is second and fade.receive(first, 0.3) is first
    third = fade.receive(chunk(0.4, 2), 0.45)
    other = Fade()
    other.receive(played, 0.25)
    np.testing.assert_array_equal(third.targets, other.receive(chunk(0.4, 2), 0.45).targets)
    fade.forget()
    assert fade.receive(second, 0.5) is second


def test_an_unknown_chunking_and_an_unable_policy_are_named(policy: VlaPolicy) -> None:
    with pytest.raises(PolicyError, match="rtc"):
        make_chunking("average", policy)

    class Unable:
        pass

    with pytest.raises(PolicyError, match="Unable"):
        make_chunking("rtc", Unable())  # type: ignore[arg-type]


def test_poses_between_targets_lie_between_them_and_beyond_the_ends_at_the_ends() -> None:
    path = chunk(0.0)
    due = due_times(path)
    np.testing.assert_allclose(
        poses_at(path.targets, due, due)[:, :3], path.targets[:, :3], atol=1e-7
    )
    ends = poses_at(path.targets, due, np.array([-1.0, 9.0]))
    assert apart(ends, path.targets[[0, -1]]).max() < 1e-6
    one = poses_at(path.targets[:1], due[:1], np.array([0.0, 5.0]))
    assert apart(one, path.targets[[0, 0]]).max() < 1e-6
