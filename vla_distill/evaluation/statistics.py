"""Intervals for success rates and for the difference of two policies on the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

from vla_distill.errors import DistillError

RESAMPLES = 10_000
"""Bootstrap samples."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a success rate.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
    the American Statistical Association 22 (1927). Unlike the normal interval it stays inside
    [0, 1] and keeps its coverage near 0 and 1.

    Args:
        successes: how many trials succeeded.
        trials: how many there were; none at all gives [0, 1].
        confidence: coverage of the interval.

    Raises:
        DistillError: not 0 <= successes <= trials, or the confidence is outside (0, 1).
    """
    if not 0 <= successes <= trials:
        raise DistillError("successes", got=successes, expected=f"0 to {trials}")
    if not 0.0 < confidence < 1.0:
        raise DistillError("confidence", got=confidence, expected="between 0 and 1")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0)
    ends = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Interval(successes / trials, float(ends.low), float(ends.high))


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], confidence: float = 0.95
) -> Interval:
    """Difference of two success rates, second minus first, on the same episodes.

    Newcombe's hybrid score interval for paired proportions (R. G. Newcombe, "Improved confidence
    intervals for the difference between binomial proportions based on paired data", Statistics in
    Medicine 17 (1998), method 10): Wilson intervals of both rates, joined with their correlation.

    Args:
        first: success of each episode with the one policy. Shape (N,).
        second: success of the same episodes with the other. Shape (N,).
        confidence: coverage of the interval.

    Raises:
        DistillError: the lengths differ, or there is no episode.
    """
    if len(first) != len(second) or not first:
        raise DistillError(
            "paired episodes", got=f"{len(first)} and {len(second)}", expected="equally many, >= 1"
        )
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    both, only_a = int((a & b).sum()), int((a & ~b).sum())
    only_b, neither = int((~a & b).sum()), int((~a & ~b).sum())
    one, two = wilson(int(a.sum()), len(a), confidence), wilson(int(b.sum()), len(b), confidence)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    phi = 0.0
    if margins > 0:
        product = both * neither - only_a * only_b
        # Newcombe's continuity correction: a positive association is shrunk by N / 2.
        product = max(product - len(a) / 2, 0.0) if product > 0 else product
        phi = product / math.sqrt(margins)
    difference = two.value - one.value
    down = (two.value - two.low, one.high - one.value)
    up = (two.high - two.value, one.value - one.low)

    def spread(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    return Interval(
        difference, max(-1.0, difference - spread(*down)), min(1.0, difference + spread(*up))
    )


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Difference of two means on the same episodes (seconds, say), second minus first.

    Percentile bootstrap over episodes; a pair stays together.

    Args:
        first: a number an episode. Shape (N,).
        second: the same episodes' numbers with the other policy. Shape (N,).
        confidence: coverage of the interval.
        resamples: how many bootstrap samples.
        seed: of the resampling.

    Raises:
        DistillError: the lengths differ, or there is no episode.
    """
    if len(first) != len(second) or not len(first):
        raise DistillError(
            "paired episodes", got=f"{len(first)} and {len(second)}", expected="equally many, >= 1"
        )
    difference = np.asarray(second, float) - np.asarray(first, float)
    picks = np.random.default_rng(seed).integers(0, len(difference), (resamples, len(difference)))
    means = difference[picks].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(difference.mean()), float(low), float(high))


def rate_over_seeds(wins: Sequence[Sequence[bool]], confidence: float = 0.95) -> Interval:
    """Success rate over seeds of training; of one seed Wilson's interval, of several that of
    :func:`_over_trainings`.

    Args:
        wins: success with each seed in each of the same episodes. Shape (S, N).
        confidence: coverage of the interval.

    Raises:
        DistillError: the seeds have not equally many episodes, or there is none.
    """
    array = _by_seed(wins)
    if len(array) == 1:
        return wilson(int(array.sum()), array.size, confidence)
    return _over_trainings(array, confidence, 0.0, 1.0)


def over_seeds(
    first: Sequence[Sequence[bool]], second: Sequence[Sequence[bool]], confidence: float = 0.95
) -> Interval:
    """Difference of two success rates over seeds of training, second minus first.

    Of one seed :func:`paired_difference`, of several :func:`_over_trainings`.

    Args:
        first: success with each seed in each of the same episodes. Shape (S, N).
        second: with the other policy. Shape (S, N).
        confidence: coverage of the interval.

    Raises:
        DistillError: the shapes differ, or there is no episode.
    """
    one, other = _by_seed(first), _by_seed(second)
    if one.shape != other.shape:
        got = f"{one.shape} and {other.shape}"
        raise DistillError("paired episodes", got=got, expected="equal shapes")
    if len(one) == 1:
        return paired_difference(first[0], second[0], confidence)
    return _over_trainings(other - one, confidence, -1.0, 1.0)


def _by_seed(wins: Sequence[Sequence[bool]]) -> NDArray[np.float64]:
    if not wins or not wins[0] or len({len(each) for each in wins}) != 1:
        got = [len(each) for each in wins]
        raise DistillError("episodes of each seed", got=got, expected="equally many, >= 1")
    return np.asarray(wins, float)


def _over_trainings(
    values: NDArray[np.float64], confidence: float, least: float, most: float
) -> Interval:
    """Mean of values (S, N), and the wider of two intervals, within least and most.

    The bootstrap's percentiles over seeds and episodes: both are drawn anew, each with all that was
    found with it, so neither the same episodes under several seeds nor the luck of one seed counts
    as more evidence than it is. Of few seeds that differ it is too narrow (of three it draws the
    worst thrice in one of 27); Student's of the seeds' means is not.
    """
    rng = np.random.default_rng(0)
    seeds, episodes = (
        rng.multinomial(count, np.full(count, 1.0 / count), RESAMPLES) / count
        for count in values.shape
    )
    drawn = ((seeds @ values) * episodes).sum(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    means = values.mean(1)
    reach = t.ppf(1 - tail, len(means) - 1) * means.std(ddof=1) / math.sqrt(len(means))
    mean = float(values.mean())
    return Interval(
        mean, float(max(min(low, mean - reach), least)), float(min(max(high, mean + reach), most))
    )


def percentiles(values: Sequence[float]) -> Mapping[str, float]:
    """Median, 95th and 99th percentile and maximum; all NaN when there is no value."""
    if not len(values):
        return dict.fromkeys(("median", "p95", "p99", "max"), math.nan)
    array = np.asarray(values, float)
    median, p95, p99 = np.percentile(array, [50, 95, 99])
    return {
        "median": float(median),
        "p95": float(p95),
        "p99": float(p99),
        "max": float(array.max()),
    }
