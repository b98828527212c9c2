"""From scores to weights of the real distribution.

The paper says nothing of negative scores, and a distribution has none. ``clip``: a harmful sample
weighs nothing. ``softmax``: of the scores over their spread, nobody weighs nothing. Either way the
effective sample size says how few samples carry the weight.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_distill.ftncfm.errors import DataDistillationError

RULES = ("clip", "softmax")
BETA = 1.0
"""FT-NCFM's weight of the contrast."""


def to_weights(
    score: NDArray[np.floating], group: NDArray[np.int64], rule: str = "clip"
) -> NDArray[np.float64]:
    """Weights that sum to 1. A group without a helpful sample weighs as much as its size.

    Args:
        score: positive is helpful; not finite counts as unknown and gets no weight. Shape (M,).
        group: of each sample; groups keep their share, so no task or phase is weighed away.
        rule: what to do with negative ones.

    Raises:
        DataDistillationError: an unknown rule, or no finite score.
    """
    get_rule(rule)
    known = np.isfinite(score)
    if not known.any():
        raise DataDistillationError("scores", got="none that is finite", expected="at least one")
    weight = np.zeros(len(score))
    for number in np.unique(group[known]):
        own = known & (group == number)
        values = score[own].astype(np.float64)
        if rule == "softmax":
            values = np.exp((values - values.max()) / max(values.std(), 1e-12))
        values = np.maximum(values, 0.0)
        share = values / values.sum() if values.sum() > 0 else np.full(len(values), 1 / len(values))
        weight[own] = share * own.sum()
    return weight / weight.sum()


def get_rule(name: str) -> str:
    """The rule called ``name``.

    Raises:
        DataDistillationError: there is none.
    """
    if name not in RULES:
        raise DataDistillationError("rule for negative weights", got=name, expected=RULES)
    return name


def effective_size(weight: NDArray[np.floating]) -> float:
    """Kish's effective sample size: M where all weigh the same, 1 where one weighs all."""
    return float(weight.sum() ** 2 / (weight**2).sum())


def contrasted(
    score: NDArray[np.floating],
    alignment: NDArray[np.floating],
    counter_alignment: NDArray[np.floating],
) -> NDArray[np.floating]:
    """FT-NCFM Eq. 5: score (1 + tanh(beta (alignment - alignment of the counter-example))).

    Args:
        score: Shape (M,).
        alignment: of the sample, Eq. 3. Shape (M,).
        counter_alignment: of its counter-example, Eq. 4; NaN where there is none, which leaves the
            score as it is. Shape (M,).
    """
    gap = np.where(np.isfinite(counter_alignment), alignment - counter_alignment, 0.0)
    return score * (1.0 + np.tanh(BETA * gap))
