"""Guidance of the action head towards an old chunk, for real-time chunking.

Kevin Black, Manuel Y. Galliker, Sergey Levine, "Real-Time Execution of Action Chunking Flow
Policies", arXiv 2506.07339, equations 2 to 5. The paper guides a flow; ours is a diffusion in
v-prediction with alpha^2 + sigma^2 = 1 (:mod:`vla_policy.model.diffusion`), so its correction is
taken from where the paper has it: PiGDM (Song et al., ICLR 2023), for data of unit variance, as
standardised actions have. There r_t^2 = sigma^2 / (alpha^2 + sigma^2) = sigma^2, and moving the
noise estimate by -sigma times the score of p(Y | x_t) moves the clean estimate by

    (1 / alpha) (Y - x0)^T diag(W) dx0/dx_t,    in place of (1 - tau) / (tau r_tau^2) of Eq. 2,

which grows without bound towards pure noise and is cut off at ``GUIDANCE_LIMIT`` as in the paper.

Further from the paper: what is frozen (W = 1) is also *set*, at every step, as in Diffuser's
inpainting (arXiv 2205.09991). A few DDIM steps of guidance come near but not there, and the arm has
executed exactly that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_policy.contract import ActionChunk
from vla_policy.trajectory import due_times, poses_at

GUIDANCE_LIMIT = 5.0
"""beta of Eq. 2; the paper's value."""
_ROUNDING = 4
"""Digits of a second that times keep, so that a bag, whose stamps are nanoseconds, gives the same
numbers as the node that wrote it had."""

Velocity = Callable[[Tensor], tuple[Tensor, list[tuple[Tensor, Tensor]]]]
"""Noisy actions to their velocity and the blocks' outputs."""


@dataclass(frozen=True)
class Prefix:
    """What of an old chunk a new one shall repeat.

    Attributes:
        poses: where the old chunk is when the new one's targets are due. Shape (T, 7).
        weights: 1 must be repeated, 0 is free. Shape (T,).
    """

    poses: NDArray[np.float64]
    weights: NDArray[np.float64]


def prefix(
    old: ActionChunk, stamp: float, frozen_until: float, horizon: int, step_dt: float
) -> Prefix | None:
    """Lay an old chunk over a new one.

    Args:
        old: the chunk in play.
        stamp: of the new chunk's observation [s].
        frozen_until: until when the old one is executed whatever comes [s].
        horizon: targets of the new chunk.
        step_dt: time between them [s].

    Returns:
        None where the old one does not reach the new one's first target.
    """
    shift = round(stamp - old.stamp, _ROUNDING)
    begun = step_dt * np.arange(horizon)  # when the arm sets out for each target
    due = due_times(old) - old.stamp
    # A thousandth of a step is rounding; so is nothing that the arm could notice.
    overlap = int(np.count_nonzero(shift + begun + step_dt <= due[-1] + 1e-3 * step_dt))
    if overlap == 0 or shift < 0.0:
        return None
    frozen = np.count_nonzero(begun < round(frozen_until - stamp, _ROUNDING) - 1e-3 * step_dt)
    poses = poses_at(old.targets, due, shift + begun + step_dt)
    return Prefix(poses, prefix_weights(min(int(frozen), overlap), overlap, horizon))


def prefix_weights(frozen: int, overlap: int, horizon: int) -> NDArray[np.float64]:
    """The soft mask W (Eq. 5).

    Args:
        frozen: d, targets that must be repeated.
        overlap: H - s, targets that the old chunk reaches.
        horizon: H, targets of the new chunk.

    Returns:
        1 for the frozen ones, then decaying, 0 from the overlap's end on. Shape (horizon,).
    """
    index = np.arange(horizon)
    share = np.clip((overlap - index) / (overlap - frozen + 1), 0.0, 1.0)
    decaying = share * np.expm1(share) / math.expm1(1.0)
    return np.where(index < frozen, 1.0, np.where(index < overlap, decaying, 0.0))


@dataclass(frozen=True)
class Guidance:
    """Pulls a batch of chunks towards old ones.

    Attributes:
        target: standardised actions Y. Shape (B, T, D).
        weight: W of each target; zero rows are left alone. Shape (B, T, 1).
    """

    target: Tensor
    weight: Tensor

    def steer(
        self, velocity_of: Velocity, noisy: Tensor, now: float
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """The velocity of one denoising step, corrected.

        Args:
            velocity_of: the head, its condition and what it reuses held fast; takes part in no
                inference mode.
            noisy: Shape (B, T, D).
            now: time, above 0.

        Returns:
            What ``velocity_of`` does, without a gradient.
        """
        alpha, sigma = math.cos(now * math.pi / 2), math.sin(now * math.pi / 2)
        with torch.inference_mode(False), torch.enable_grad():
            # Tensors made in inference mode know no gradients; copies do.
            x, target, weight = noisy.clone(), self.target.clone(), self.weight.clone()
            x.requires_grad_()
            velocity, outputs = velocity_of(x)
            clean = alpha * x - sigma * velocity
            error = weight * (target - clean.detach())
            (pull,) = torch.autograd.grad(clean, x, error)  # the product of Eq. 2
        # Moving x0 by some amount moves v by -1 / sigma of it, x_t being what it is.
        scale = min(GUIDANCE_LIMIT, 1.0 / max(alpha, 1e-9))
        steered = velocity.detach() - (scale / sigma) * pull
        exact = (alpha * noisy - self.target) / sigma
        held = [(attention.detach(), mlp.detach()) for attention, mlp in outputs]
        return torch.where(self.weight >= 1.0, exact, steered), held
