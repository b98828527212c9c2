"""Laws of the intervals, and values that textbooks print."""

import math

import numpy as np
import pytest

from vla_distill.errors import DistillError
from vla_distill.evaluation.statistics import (
    over_seeds,
    paired_bootstrap,
    paired_difference,
    percentiles,
    rate_over_seeds,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998 (two-sided intervals for a single proportion), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_known_values(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert interval.value == pytest.approx(successes / trials)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize("trials", [1, 7, 100])
def test_wilson_holds_its_estimate_and_mirrors(trials: int) -> None:
    for successes in range(trials + 1):
        interval = wilson(successes, trials)
        mirror = wilson(trials - successes, trials)
        assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0
        assert interval.low == pytest.approx(1.0 - mirror.high)


def test_wilson_without_trials_says_nothing() -> None:
    interval = wilson(0, 0)
    assert math.isnan(interval.value)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(DistillError, match="successes"):
        wilson(successes, trials)


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        # Newcombe 1998 (paired data), table II, method 10: cells are both, only first, only second,
        # neither; the difference there is first minus second.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((0, 30, 0, 0), 0.8395, 1.0),
    ],
)
def test_paired_difference_gives_known_values(
    cells: tuple[int, int, int, int], low: float, high: float
) -> None:
    both, only_first, only_second, neither = cells
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    interval = paired_difference(second, first)
    assert interval.low == pytest.approx(low, abs=6e-4)
    assert interval.high == pytest.approx(high, abs=6e-4)


def test_paired_difference_is_antisymmetric() -> None:
    rng = np.random.default_rng(0)
    first, second = list(rng.random(60) < 0.8), list(rng.random(60) < 0.6)
    forth, back = paired_difference(first, second), paired_difference(second, first)
    assert forth.value == pytest.approx(-back.value)
    assert forth.low == pytest.approx(-back.high)


def test_pairing_narrows_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0.0, 3.0, 200)
    first, second = hard, hard + 1.0 + rng.normal(0.0, 0.1, 200)
    interval = paired_bootstrap(first.tolist(), second.tolist())
    assert interval.low < 1.0 < interval.high
    assert interval.high - interval.low < 0.1
    assert interval == paired_bootstrap(first.tolist(), second.tolist())


def test_unpaired_lists_are_refused() -> None:
    with pytest.raises(DistillError, match="2 and 1"):
        paired_difference([True, False], [True])
    with pytest.raises(DistillError, match="paired"):
        paired_bootstrap([], [])


def test_percentiles() -> None:
    numbers = percentiles(list(range(101)))
    assert numbers == {"median": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert all(math.isnan(value) for value in percentiles([]).values())


def test_one_seed_is_judged_by_its_episodes() -> None:
    first, second = [True] * 6 + [False] * 4, [True] * 8 + [False] * 2
    assert rate_over_seeds([first]) == wilson(6, 10)
    assert over_seeds([first], [second]) == paired_difference(first, second)


def test_the_same_episodes_under_several_seeds_are_no_more_evidence() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(200) < 0.7, rng.random(200) < 0.8
    once = over_seeds([list(first)], [list(second)])
    thrice = over_seeds([list(first)] * 3, [list(second)] * 3)
    assert thrice.value == pytest.approx(once.value)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.1)


def test_of_few_trainings_the_interval_is_students() -> None:
    wins = [[True] * n + [False] * (100 - n) for n in (45, 60, 66)]  # mean 57, deviation 10.8166
    rate = rate_over_seeds(wins)
    assert (rate.low, rate.high) == pytest.approx((0.3013, 0.8387), abs=1e-4)  # t(0.975, 2) 4.3027
    apart = rate_over_seeds([[False] * 9, [True] * 9])
    assert (apart.low, apart.high) == (0.0, 1.0)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    alike = [list(rng.random(300) < 0.6) for _ in range(3)]
    apart = [list(rng.random(300) < rate) for rate in (0.3, 0.6, 0.9)]
    widths = [rate.high - rate.low for rate in map(rate_over_seeds, (alike, apart))]
    assert widths[1] > 3 * widths[0]
    with pytest.raises(DistillError, match="episodes of each seed"):
        rate_over_seeds([[True], [True, False]])
