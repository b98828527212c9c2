"""Ways to choose a small set, behind one protocol.

An arm sees candidates (frames, or whole episodes) and says which to keep, the best first. A
**synthetic** arm chooses what synthetic samples begin as; ``matching.py`` does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_distill.ftncfm.errors import DataDistillationError

NOTHING, FEATURES, SCORES, CONTRAST = range(4)
"""How far samples must be traced before an arm can choose."""


@dataclass(frozen=True)
class Candidates:
    """What there is to choose from, in the dataset's order: neighbours are of one episode and
    moment. An arm may read what it ``needs``, the rest may be empty.

    Attributes:
        task: of each. Shape (M,), int64.
        group: task and phase of each. Shape (M,), int64.
        features: Shape (M, F).
        score: positive is helpful. Shape (M,).
        weight: of the real distribution, sums to 1. Shape (M,).
    """

    task: NDArray[np.int64]
    group: NDArray[np.int64]
    features: NDArray[np.floating]
    score: NDArray[np.floating]
    weight: NDArray[np.floating]


class Arm(Protocol):
    """One way to choose.

    Attributes:
        name: of the arm.
        needs: how far samples must be traced.
        synthetic: whether what is chosen is only where synthetic samples begin.
    """

    name: ClassVar[str]
    needs: ClassVar[int]
    synthetic: ClassVar[bool]

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """Which to keep, the best first. Shape (count,), each once."""
        ...


class Random:
    """Any, all alike."""

    name: ClassVar[str] = "random"
    needs: ClassVar[int] = NOTHING
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""
        return rng.permutation(len(candidates.task))[:count]


class StratifiedRandom:
    """Any, but of each task and phase its share."""

    name: ClassVar[str] = "stratified_random"
    needs: ClassVar[int] = NOTHING
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""
        return by_group(candidates.group, count, lambda own, few: rng.permutation(own)[:few])


class PhaseBalanced:
    """Any, but of each task and phase equally many: the contacts are few, and the hard part.

    Not in the paper; a candidate to do better.
    """

    name: ClassVar[str] = "phase_balanced"
    needs: ClassVar[int] = NOTHING
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""
        orders = [
            rng.permutation(np.flatnonzero(candidates.group == name))
            for name in np.unique(candidates.group)
        ]
        place = np.concatenate([np.arange(len(order)) for order in orders])
        # Groups take turns until all is taken; small ones are used up.
        return np.concatenate(orders)[np.argsort(place, kind="stable")[:count]]


class Spread:
    """One of every so many that follow each other, any: so of every episode, and of all its parts.

    Not in the paper. Frames of a moment show the same and say the same, and the scenes that were
    never shown are those in which the wrong thing is taken.
    """

    name: ClassVar[str] = "spread"
    needs: ClassVar[int] = NOTHING
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""
        return rng.permutation(one_of_each(len(candidates.task), count, rng))


class StratifiedSpread:
    """Of each task and phase its share, one of every so many: neither frames nor episodes cluster.

    Not in the paper: systematic sampling within strata.
    """

    name: ClassVar[str] = "stratified_spread"
    needs: ClassVar[int] = NOTHING
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""
        return by_group(
            candidates.group, count, lambda own, few: own[one_of_each(len(own), few, rng)]
        )


class Herding:
    """Means of features stay what they are (Welling, ICML 2009), in each task and phase."""

    name: ClassVar[str] = "herding"
    needs: ClassVar[int] = FEATURES
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""

        def pick(own: NDArray[np.int64], few: int) -> NDArray[np.int64]:
            points = candidates.features[own].astype(np.float32)
            mean, total = points.mean(0), np.zeros(points.shape[1], np.float32)
            left, chosen = np.ones(len(own), bool), []
            for number in range(few):
                gain = points @ ((number + 1) * mean - total) - 0.5 * (points**2).sum(1)
                best = int(np.argmax(np.where(left, gain, -np.inf)))
                chosen.append(best)
                left[best] = False
                total += points[best]
            return own[chosen]

        return by_group(candidates.group, count, pick)


class KCenter:
    """Nobody far from a chosen one (Sener and Savarese, arXiv 1708.00489, greedy)."""

    name: ClassVar[str] = "k_center"
    needs: ClassVar[int] = FEATURES
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""

        def pick(own: NDArray[np.int64], few: int) -> NDArray[np.int64]:
            points = candidates.features[own].astype(np.float32)
            chosen = [int(rng.integers(len(own)))][:few]
            away = np.full(len(own), np.inf, np.float32)
            while len(chosen) < few:
                away = np.minimum(away, ((points - points[chosen[-1]]) ** 2).sum(1))
                away[chosen] = -1.0
                chosen.append(int(np.argmax(away)))
            return own[chosen]

        return by_group(candidates.group, count, pick)


class TopInfluence:
    """The most helpful ones, over all tasks and phases."""

    name: ClassVar[str] = "top_influence"
    needs: ClassVar[int] = SCORES
    synthetic: ClassVar[bool] = False

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`."""
        return np.argsort(-candidates.score, kind="stable")[:count]


class UniformNcfm:
    """Synthetic samples, matched to all real ones alike (arXiv 2502.20653)."""

    name: ClassVar[str] = "uniform_ncfm"
    needs: ClassVar[int] = FEATURES
    synthetic: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, rng: Generator) -> NDArray[np.int64]:
        """See :class:`Arm`; by their weight, which is the same for all here."""

        def pick(own: NDArray[np.int64], few: int) -> NDArray[np.int64]:
            # Draws without replacement by weight, as the largest of log weight + Gumbel noise.
            weight = np.maximum(candidates.weight[own], 1e-300)
            return own[np.argsort(-(np.log(weight) + rng.gumbel(size=len(own))))[:few]]

        return by_group(candidates.group, count, pick)


class WeightedNcfm(UniformNcfm):
    """Synthetic samples, matched to the real ones by their helpfulness (FT-NCFM, Eq. 7)."""

    name: ClassVar[str] = "weighted_ncfm"
    needs: ClassVar[int] = SCORES


class WeightedContrast(UniformNcfm):
    """The paper's whole method: weights verified against counter-examples (FT-NCFM, Eq. 5)."""

    name: ClassVar[str] = "weighted_contrast"
    needs: ClassVar[int] = CONTRAST


class WeightedReal(WeightedContrast):
    """Real samples, drawn by the same weights: what the weights do, without the matching.

    Not in the paper.
    """

    name: ClassVar[str] = "weighted_real"
    synthetic: ClassVar[bool] = False


ARMS: dict[str, type[Arm]] = {
    kind.name: kind
    for kind in (
        Random, StratifiedRandom, PhaseBalanced, Spread, StratifiedSpread, Herding, KCenter,
        TopInfluence, UniformNcfm, WeightedNcfm, WeightedContrast, WeightedReal,
    )
}  # fmt: skip


def get_arm(name: str) -> Arm:
    """The arm called ``name``.

    Raises:
        DataDistillationError: there is none.
    """
    if name not in ARMS:
        raise DataDistillationError("arm", got=name, expected=sorted(ARMS))
    return ARMS[name]()


def one_of_each(size: int, count: int, rng: Generator) -> NDArray[np.int64]:
    """One of each of ``count`` parts, as equal as can be, of ``size`` places. Rising."""
    ends = np.linspace(0, size, count + 1).round().astype(np.int64)
    return rng.integers(ends[:-1], ends[1:])


def by_group(group: NDArray[np.int64], count: int, pick) -> NDArray[np.int64]:
    """Choose in each group its share, by largest remainder.

    Args:
        group: of each candidate. Shape (M,).
        count: how many in all.
        pick: (members of a group, how many) -> the chosen ones, best first.
    """
    names, sizes = np.unique(group, return_counts=True)
    exact = count * sizes / sizes.sum()
    share = np.floor(exact).astype(int)
    share[np.argsort(share - exact, kind="stable")[: count - share.sum()]] += 1
    parts = [
        pick(np.flatnonzero(group == name), few)
        for name, few in zip(names, share, strict=True)
        if few
    ]
    return np.concatenate(parts)


def cover_tasks(
    chosen: NDArray[np.int64], task: NDArray[np.int64], rng: Generator
) -> NDArray[np.int64]:
    """No task is left without a sample: the last choice of the richest task gives way to one.

    Args:
        chosen: what an arm chose, at least as many as there are tasks.
        task: of each candidate.
        rng: draws what comes in.
    """
    chosen = chosen.copy()
    for missing in np.setdiff1d(task, task[chosen]):
        names, counts = np.unique(task[chosen], return_counts=True)
        out = np.flatnonzero(task[chosen] == names[np.argmax(counts)])[-1]
        chosen[out] = rng.choice(np.flatnonzero(task == missing))
    return chosen
