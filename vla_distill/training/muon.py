"""Muon for hidden matrices, AdamW for all other weights, as one optimizer.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) moves along the nearest orthogonal
matrix to the momentum, found by Newton-Schulz iteration; its steps are scaled to AdamW's size as in
arXiv 2502.16982, Eq. 4, so that one learning rate serves both. torch.optim.Muon iterates matrix by
matrix and always in bf16, which a CPU without it does ten times slower and one with it almost four
times faster; here matrices of one shape are iterated together, in bf16 where training is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class MuonAdamW(torch.optim.AdamW):
    """AdamW, in which the groups marked ``muon`` are stepped by Muon.

    Args:
        groups: parameter groups; those with ``muon: True`` hold matrices only.
        lr: learning rate of all.
        betas: of AdamW; Muon's momentum is ``momentum``.
        momentum: Nesterov momentum of Muon.
        bf16: whether Muon iterates in it.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        momentum: float = 0.95,
        bf16: bool = False,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, fused=True)
        self.momentum, self._bf16 = momentum, bf16

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all groups."""
        everything = self.param_groups
        self.param_groups = [group for group in everything if not group.get("muon")]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = everything
        for group in everything:
            if group.get("muon"):
                self._orthogonal_step(group)
        return loss

    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for matrix in group["params"]:
            if matrix.grad is not None:
                by_shape[matrix.shape].append((matrix, matrix.grad))
        for shape, matrices in by_shape.items():
            directions = []
            for matrix, gradient in matrices:
                state = self.state[matrix]
                if not state:  # "step" because AdamW, when loaded, looks for it in every state
                    state["step"] = torch.zeros(())
                    state["momentum"] = torch.zeros_like(matrix)
                state["step"] += 1
                average = state["momentum"].lerp_(gradient, 1 - self.momentum)
                directions.append(gradient.lerp(average, self.momentum))
            moves = _together(torch.stack(directions), self._bf16)
            scale = 0.2 * max(shape) ** 0.5 * group["lr"]
            for (matrix, _), move in zip(matrices, moves, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(move, alpha=scale)


def _together(matrices: Tensor, bf16: bool) -> Tensor:
    """:func:`orthogonal`, of which every training process does its share."""
    if not distributed.is_initialized():
        return orthogonal(matrices, bf16)
    processes, rank = distributed.get_world_size(), distributed.get_rank()
    share = -(-len(matrices) // processes)
    padding = matrices.new_zeros(share * processes - len(matrices), *matrices.shape[1:])
    mine = orthogonal(torch.cat([matrices, padding])[rank * share :][:share], bf16)
    shares = [torch.empty_like(mine) for _ in range(processes)]
    distributed.all_gather(shares, mine.contiguous())
    return torch.cat(shares)[: len(matrices)]


def orthogonal(matrices: Tensor, bf16: bool = False) -> Tensor:
    """Singular values pulled to about 1 (0.7 to 1.2), singular vectors kept. Shape (N, R, C)."""
    x = matrices.bfloat16() if bf16 else matrices
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def parameter_groups(module: nn.Module, weight_decay: float, muon: bool) -> list[dict[str, Any]]:
    """Hidden matrices, other matrices, and vectors (which do not decay).

    Hidden are the weights of linear layers with both sides 32 or wider: not embeddings, nor what
    reads state, actions and positions in and out, whose rows mean something each.
    """
    hidden = {
        id(layer.weight)
        for layer in module.modules()
        if isinstance(layer, nn.Linear) and min(layer.weight.shape) >= 32
    }
    matrices = [p for p in module.parameters() if p.ndim >= 2]
    vectors = [p for p in module.parameters() if p.ndim < 2]
    orthogonalised = [p for p in matrices if muon and id(p) in hidden]
    others = [p for p in matrices if not (muon and id(p) in hidden)]
    groups = [
        {"params": orthogonalised, "weight_decay": weight_decay, "muon": True},
        {"params": others, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
