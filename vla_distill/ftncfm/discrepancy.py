"""The characteristic-function discrepancy of NCFM (arXiv 2502.20653), and its adversary.

Two distributions are equal if and only if their characteristic functions are. At frequency t
Phi(t) = E exp(j <t, z>); where moduli differ, spread differs (amplitude), where angles differ,
place differs (phase).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FREQUENCIES = 1024
ALPHA = 0.5
LARGEST_LOG_SCALE = 1.5


def characteristic(points: Tensor, frequencies: Tensor, weight: Tensor | None = None) -> Tensor:
    """Empirical characteristic function; weighted, as FT-NCFM Eq. 7 has it for the real part.

    Args:
        points: Shape (N, D).
        frequencies: Shape (T, D).
        weight: of the points, sums to 1; None for all the same. Shape (N,).

    Returns:
        Shape (T,), complex.
    """
    angle = points @ frequencies.T
    wave = torch.complex(angle.cos(), angle.sin())
    return wave.mean(0) if weight is None else (weight[:, None] * wave).sum(0)


def discrepancy(real: Tensor, synthetic: Tensor, alpha: float = ALPHA) -> Tensor:
    """Mean over t of sqrt(alpha amplitude + (1 - alpha) phase), from two functions (T,).

    amplitude = (|r| - |s|)^2, phase = 2 |r| |s| (1 - cos of the angle between). With alpha 0.5 it
    is the mean of |r - s| / sqrt 2.
    """
    length, other = real.abs(), synthetic.abs()
    amplitude = (length - other) ** 2
    phase = 2.0 * (length * other - (real * synthetic.conj()).real)
    squared = alpha * amplitude + (1.0 - alpha) * phase
    return (squared.clamp(min=0.0) + 1e-12).sqrt().mean() - 1e-6


class Frequencies(nn.Module):
    """Draws frequencies, t = scale(u) n: a scale mixture of normals.

    Three layers turn noise u into a scale for each dimension; trained to **raise** the discrepancy,
    they look where the sets differ. Their logarithm is bounded (not in the paper): an adversary
    that sends frequencies to infinity makes every two finite sets look alike, and nothing is
    learned. Switched off, all scales are 1.
    """

    def __init__(self, size: int, adversarial: bool = True, hidden: int = 64) -> None:
        super().__init__()
        self.size, self.noise, self.adversarial = size, 16, adversarial
        self.scale = nn.Sequential(
            nn.Linear(self.noise, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, size),
            nn.Tanh(),
        )

    def forward(self, generator: torch.Generator, count: int = FREQUENCIES) -> Tensor:
        """Shape (count, D)."""
        normal = torch.randn(count, self.size, generator=generator)
        noise = torch.randn(count, self.noise, generator=generator)
        if not self.adversarial:
            return normal
        return torch.exp(LARGEST_LOG_SCALE * self.scale(noise)) * normal
