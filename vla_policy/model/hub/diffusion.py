"""CogACT's noise schedule and its DDIM walk, which predict the noise in 100 discrete steps.

Cosine schedule: arXiv 2102.09672, Eq. 17, with its cap on beta; DDIM: arXiv 2010.02502, Eq. 12 with
sigma = 0, on every so many-th step, as CogACT's code spaces them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

STEPS = 100
MOST_BETA = 0.999


def signal_shares() -> list[float]:
    """Product of (1 - beta) up to each of the steps: how much of the variance is signal."""

    def share(time: float) -> float:
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    shares, product = [], 1.0
    for step in range(STEPS):
        beta = 1.0 - share((step + 1) / STEPS) / share(step / STEPS)
        product *= 1.0 - min(beta, MOST_BETA)
        shares.append(product)
    return shares


SHARES = signal_shares()


def timesteps(steps: int) -> Iterator[tuple[int, int, float, float]]:
    """The walk: (number, time step, share of signal now, share of signal next).

    Ten steps are 90, 80 ... 0. One starts from the last, 99, and numbers that no whole stride has
    are spread evenly: neither can the released sampler.
    """
    used = list(range(0, STEPS, math.ceil(STEPS / steps)))[::-1] if steps > 1 else [STEPS - 1]
    if len(used) != steps:
        used = [number * STEPS // steps for number in range(steps)][::-1]
    for number, (step, after) in enumerate(zip(used, [*used[1:], None], strict=True)):
        yield number, step, SHARES[step], 1.0 if after is None else SHARES[after]


def ddim_step(noisy: Tensor, noise: Tensor, now: float, after: float) -> Tensor:
    """One step, from shares of signal ``now`` to ``after``, for a predicted noise. (B, T, D)."""
    sample = (noisy - math.sqrt(1.0 - now) * noise) / math.sqrt(now)
    return math.sqrt(after) * sample + math.sqrt(1.0 - after) * noise
