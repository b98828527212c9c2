"""Diffusion in continuous time with a cosine schedule, v-prediction and DDIM.

DDIM: arXiv 2010.02502, Eq. 12 with sigma = 0. v-prediction and the cosine schedule with
alpha = cos(pi t / 2), sigma = sin(pi t / 2): arXiv 2202.00512, section 4 and appendix D.
CogACT predicts the noise; v stays well conditioned at t = 1, which few-step sampling needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def mix(sample: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Diffuse a sample.

    Args:
        sample: clean actions. Shape (B, T, D).
        noise: standard normal, same shape.
        time: in [0, 1], 1 is pure noise. Shape (B,).

    Returns:
        The noisy sample and the velocity v to be predicted, both (B, T, D).
    """
    angle = time[:, None, None] * (math.pi / 2)
    alpha, sigma = angle.cos(), angle.sin()
    return alpha * sample + sigma * noise, alpha * noise - sigma * sample


def timesteps(steps: int) -> Iterator[tuple[int, float, float]]:
    """The DDIM walk: (step, time now, time next), from 1 to 0."""
    for step in range(steps):
        yield step, 1.0 - step / steps, 1.0 - (step + 1) / steps


def ddim_step(noisy: Tensor, velocity: Tensor, now: float, after: float) -> Tensor:
    """One deterministic DDIM step from time ``now`` to ``after``. Shapes (B, T, D)."""
    # cos(target) sample + sin(target) noise, both made of x and v by the angle now: a rotation.
    turn = (now - after) * math.pi / 2
    return math.cos(turn) * noisy - math.sin(turn) * velocity


def draw_times(count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Training times, stratified over [0, 1] so that a small batch covers them. Shape (count,)."""
    offset = torch.rand((), generator=generator, device=device)
    return (torch.arange(count, device=device) / count + offset) % 1.0
