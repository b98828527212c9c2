"""Laws of choosing: every arm keeps its budget, weights are a distribution, sets are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_distill.ftncfm.arms import ARMS, Candidates, cover_tasks, get_arm
from vla_distill.ftncfm.contrast import Contrast, minimal
from vla_distill.ftncfm.counterexample import CounterExample
from vla_distill.ftncfm.discrepancy import Frequencies, characteristic, discrepancy
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.pool import PHASES, phases
from vla_distill.ftncfm.weights import contrasted, effective_size, to_weights

COUNT = 200


@pytest.fixture
def candidates() -> Candidates:
    rng = np.random.default_rng(0)
    task = np.repeat([0, 1], COUNT // 2)
    return Candidates(
        task=task,
        group=task * 2 + rng.integers(0, 2, COUNT),
        features=rng.normal(size=(COUNT, 8)) + 3 * task[:, None],
        score=rng.normal(size=COUNT),
        weight=np.full(COUNT, 1 / COUNT),
    )


@pytest.mark.parametrize("name", sorted(ARMS))
@pytest.mark.parametrize("count", [2, 10, COUNT])
def test_every_arm_keeps_its_budget_and_nothing_twice(candidates, name: str, count: int) -> None:
    chosen = get_arm(name).choose(candidates, count, np.random.default_rng(1))
    assert len(chosen) == count == len(set(chosen.tolist()))
    again = get_arm(name).choose(candidates, count, np.random.default_rng(1))
    np.testing.assert_array_equal(chosen, again)


FREE = {"random", "top_influence", "phase_balanced", "spread"}


@pytest.mark.parametrize("name", sorted(set(ARMS) - FREE))
def test_all_arms_but_four_keep_the_share_of_each_group(candidates, name: str) -> None:
    chosen = get_arm(name).choose(candidates, 40, np.random.default_rng(1))
    for group in np.unique(candidates.group):
        whole = (candidates.group == group).mean()
        assert abs((candidates.group[chosen] == group).sum() - 40 * whole) < 1


def test_a_balanced_choice_takes_equally_many_until_a_group_is_used_up(candidates) -> None:
    group = np.repeat([0, 1, 2], [3, 97, 100])
    few = replace(candidates, group=group)
    chosen = get_arm("phase_balanced").choose(few, 43, np.random.default_rng(1))
    assert np.bincount(group[chosen]).tolist() == [3, 20, 20]


def test_spread_takes_of_every_episode_and_of_all_its_parts(candidates) -> None:
    chosen = np.sort(get_arm("spread").choose(candidates, 40, np.random.default_rng(1)))
    assert np.array_equal(chosen // 5, np.arange(40))  # 40 runs of five neighbours each
    assert len(np.unique(chosen % 5)) > 1


def test_stratified_spread_takes_of_all_parts_of_each_group(candidates) -> None:
    group = np.tile([0, 0, 0, 1], COUNT // 4)
    apart = replace(candidates, group=group)
    chosen = np.sort(get_arm("stratified_spread").choose(apart, 20, np.random.default_rng(1)))
    for name, few in ((0, 15), (1, 5)):
        place = np.flatnonzero(np.isin(np.flatnonzero(group == name), chosen))
        assert np.array_equal(place // 10, np.arange(few))  # one of every ten of the group


def test_herding_keeps_means_as_no_random_choice_does(candidates) -> None:
    rng = np.random.default_rng(2)
    points = candidates.features

    def mean_gap(chosen) -> float:
        return float(np.linalg.norm(points[chosen].mean(0) - points.mean(0)))

    plain = [get_arm("stratified_random").choose(candidates, 30, rng) for _ in range(10)]
    assert mean_gap(get_arm("herding").choose(candidates, 30, rng)) < min(map(mean_gap, plain))


def test_k_center_covers_what_is_rare_and_takes_no_copies(candidates) -> None:
    points = np.zeros((COUNT, 8))  # 196 copies of one sample, and four that stand apart
    points[:4, :4] = 9.0 * np.eye(4)
    few = replace(candidates, features=points, group=np.zeros(COUNT, int))
    chosen = get_arm("k_center").choose(few, 5, np.random.default_rng(3))
    assert set(chosen.tolist()) >= {0, 1, 2, 3}


def test_an_unknown_arm_lists_the_known_ones() -> None:
    with pytest.raises(DataDistillationError, match="stratified_random"):
        get_arm("best")


def test_no_task_is_left_without_a_sample() -> None:
    task = np.array([0] * 50 + [1] * 2)
    chosen = cover_tasks(np.arange(4), task, np.random.default_rng(0))
    assert set(task[chosen]) == {0, 1} and len(set(chosen.tolist())) == 4
    np.testing.assert_array_equal(chosen[:3], [0, 1, 2])  # the last choice gives way


@pytest.mark.parametrize("rule", ["clip", "softmax"])
def test_weights_are_a_distribution_that_keeps_groups_and_order(rule: str) -> None:
    rng = np.random.default_rng(3)
    score, group = rng.normal(size=60), np.repeat([0, 1, 2], 20)
    score[group == 2] = -np.abs(score[group == 2])  # a group without a helpful sample
    score[5] = np.nan
    weight = to_weights(score, group, rule)
    assert weight.sum() == pytest.approx(1.0) and (weight >= 0).all() and weight[5] == 0
    for number, share in ((0, 19 / 59), (1, 20 / 59), (2, 20 / 59)):
        assert weight[group == number].sum() == pytest.approx(share)
    best = np.nanargmax(score[:20])
    assert weight[:20].argmax() == best
    assert 1.0 <= effective_size(weight) <= 59.0


def test_equal_weights_are_as_many_samples_as_there_are() -> None:
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7.0)
    with pytest.raises(DataDistillationError, match="finite"):
        to_weights(np.full(3, np.nan), np.zeros(3, int))


def test_contrast_raises_what_its_counter_example_does_not_share() -> None:
    score, own = np.ones(4), np.array([0.5, 0.5, 0.5, 0.5])
    found = contrasted(score, own, np.array([0.5, -0.5, 0.9, np.nan]))
    assert found[0] == 1.0 and found[1] > 1.0 > found[2] > 0.0 and found[3] == 1.0


def test_the_minimal_counter_example_changes_the_action_and_little_of_the_picture() -> None:
    own = np.zeros((2, 4, 4, 3), np.uint8)
    near, far = own + 1, own + 9
    found = [
        CounterExample("resized", near, 0.0),  # the right action stays
        CounterExample("moved", far, 0.1),
        CounterExample("swapped", near + 1, 0.1),
    ]
    chosen = minimal(found, own)
    assert chosen is not None and chosen.template == "swapped"
    assert minimal(found[:1], own) is None and not np.isfinite(Contrast(0).alignment)


def test_discrepancy_is_zero_only_between_equal_sets() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(64, 5, generator=generator)
    t = Frequencies(5, adversarial=False)(generator)
    same = points[torch.randperm(64, generator=generator)]
    real = characteristic(points, t)
    assert float(discrepancy(real, characteristic(same, t))) == pytest.approx(0.0, abs=1e-4)
    moved, wider = points + 0.3, 1.3 * points
    for other in (moved, wider, points[:32]):
        assert float(discrepancy(real, characteristic(other, t))) > 0.01


def test_alpha_of_a_half_is_the_distance_of_the_functions() -> None:
    generator = torch.Generator().manual_seed(1)
    t = Frequencies(5, adversarial=False)(generator)
    one, other = (characteristic(torch.randn(20, 5, generator=generator), t) for _ in range(2))
    distance = (one - other).abs().mean() / 2**0.5
    torch.testing.assert_close(discrepancy(one, other, 0.5), distance, rtol=1e-3, atol=1e-5)


def test_a_weight_of_two_is_a_sample_twice() -> None:
    generator = torch.Generator().manual_seed(2)
    points, t = torch.randn(3, 4, generator=generator), torch.randn(9, 4, generator=generator)
    weighted = characteristic(points, t, torch.tensor([0.5, 0.25, 0.25]))
    torch.testing.assert_close(weighted, characteristic(points[[0, 0, 1, 2]], t))


def test_the_adversary_finds_where_sets_differ() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(3)
    one = torch.randn(128, 6, generator=generator)
    other = one.clone()
    other[:, 0] *= 1.6  # in one of six directions only
    adversary = Frequencies(6)
    optimizer = torch.optim.Adam(adversary.parameters(), 1e-2)

    def gap() -> torch.Tensor:
        t = adversary(generator, 256)
        return discrepancy(characteristic(one, t), characteristic(other, t))

    before = float(gap().detach())
    for _ in range(60):
        optimizer.zero_grad()
        (-gap()).backward()
        optimizer.step()
    assert float(gap().detach()) > 1.2 * before


def test_phases_follow_the_commands() -> None:
    chunk = np.zeros((4, 16, 7))
    chunk[:, :, 6] = 0.08
    chunk[0, :, 0] = np.linspace(0.0, 0.1, 16)  # moves open
    chunk[1, 8:, 6] = 0.0  # closes
    chunk[2, :, 6] = 0.0  # closed
    assert [PHASES[p] for p in phases(chunk)] == ["travel", "contact", "carry", "settle"]
