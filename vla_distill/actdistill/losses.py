"""The losses of stage 2, each of the paper's parts a function.

ActDistill, arXiv 2511.18082. Actions are the whole chunk (B, layers, T, 10), standardised.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def depth_weights(layers: int, power: float) -> Tensor:
    """w_l = (l / (L - 1))^gamma over its mean. Shape (layers,)."""
    weights = torch.linspace(0.0, 1.0, layers) ** power if layers > 1 else torch.ones(1)
    return weights / weights.mean()


def semantic_loss(student: Tensor, teacher: Tensor, similarity_weight: float) -> Tensor:
    """1 - cos(s_S, s_T) + eta MSE of the batch's cosine matrices, of each layer. Shape (layers,).

    Args:
        student, teacher: semantic vectors. Shape (B, layers, semantics).
        similarity_weight: eta.
    """
    one, other = (functional.normalize(each, dim=-1) for each in (student, teacher))
    apart = 1.0 - (one * other).sum(-1).mean(0)
    if not similarity_weight:
        return apart
    own, theirs = (torch.einsum("ils,jls->lij", each, each) for each in (one, other))
    return apart + similarity_weight * (own - theirs).square().mean((1, 2))


def action_loss(student: Tensor, teacher: Tensor, actions: Tensor, foretold: Tensor) -> Tensor:
    """Errors to ground truth, to the teacher and to the student's layer before. Shape (layers,).

    Args:
        student, teacher: the probes' chunks. Shape (B, layers, T, D).
        actions: ground truth. Shape (B, T, D).
        foretold: 1 for the targets that follow from what was seen. Shape (B, T, 1).
    """
    truth = probe_error(student, actions, foretold)
    follow = (student - teacher).square().mean((0, 2, 3))
    steady = (student[:, 1:] - student[:, :-1].detach()).square().mean((0, 2, 3))
    return truth + follow + functional.pad(steady, (1, 0))


def probe_error(probes: Tensor, actions: Tensor, foretold: Tensor) -> Tensor:
    """Mean squared error of each layer's chunk to ground truth. Shape (layers,)."""
    error = (probes - actions[:, None]).square() * foretold[:, None]
    return error.sum((0, 2, 3)) / (foretold.sum() * actions.shape[-1]).clamp(min=1.0)


def hidden_loss(student: Tensor, teacher: Tensor, present: Tensor) -> Tensor:
    """Error of token states (B, N, width) over the teacher's variance: 1 knows only the mean."""
    there = present[..., None]
    error = ((student - teacher).square() * there).sum()
    mean = (teacher * there).sum((0, 1)) / there.sum()
    return error / ((teacher - mean).square() * there).sum().clamp(min=1e-6)


def budget_loss(gates: Tensor, costs: Tensor, budget: float) -> Tensor:
    """(mean over the batch of sum_l c_l g_l - rho)^2. Not in the release: nothing closes a gate.

    On the batch's mean, so that one observation may take more and another less.

    Args:
        gates: Shape (B, layers).
        costs: of the layers, summing to 1. Shape (layers,).
        budget: rho.
    """
    return ((gates @ costs).mean() - budget) ** 2


def gate_entropy(logits: Tensor) -> Tensor:
    """How undecided the router is: mean entropy of its gates [bit]."""
    open_, log_open = logits.sigmoid(), functional.logsigmoid(logits)
    entropy = -(open_ * log_open + (1.0 - open_) * functional.logsigmoid(-logits))
    return entropy.mean() / torch.log(torch.tensor(2.0))


def gate_variation(gates: Tensor) -> Tensor:
    """How far gates differ between samples: mean of 4 m (1 - m), m the share that runs a layer.

    0 is a static mask, to which a router that only has to meet a mean can collapse; 1 a coin toss
    for each layer.
    """
    share = gates.mean(0)
    return (4.0 * share * (1.0 - share)).mean()
