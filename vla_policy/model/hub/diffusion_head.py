"""CogACT's action head: a diffusion transformer that predicts noise, with classifier-free guidance.

CogACT, arXiv 2411.19650, section 3.3; module names as released. Guidance follows the code, not the
paper: its slice of "channels" falls on the time axis, so that only the first ``action_size`` (7) of
the 16 actions are guided, and the others are those of the condition alone. The weights are judged
with that sampler, so it is kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vla_policy.model.head import Block, BlockOutput
from vla_policy.model.hub import diffusion
from vla_policy.model.hub.config import PrismaticConfig
from vla_policy.model.plan import Plan

FREQUENCIES = 256
"""Sines and cosines of the time step."""


def plain_norm(width: int) -> nn.LayerNorm:
    """Without weights."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


class DiffusionHead(nn.Module):
    """Denoises a chunk of actions under the cognition feature."""

    def __init__(self, config: PrismaticConfig) -> None:
        super().__init__()
        head, width = config.head, config.head.width
        self.config = config
        self.action_size = config.action_size
        self.x_embedder = nn.ModuleDict({"linear": nn.Linear(self.action_size, width)})
        self.t_embedder = nn.ModuleDict(
            {
                "mlp": nn.Sequential(
                    nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
                )
            }
        )
        self.z_embedder = nn.Linear(config.language.width, width)
        self.uncondition = nn.Parameter(torch.zeros(1, config.language.width))
        self.positional_embedding = nn.Parameter(torch.zeros(config.horizon + 1, width))
        self.blocks = nn.ModuleList(
            Block(width, head.heads, head.mlp_width, plain_norm) for _ in range(head.layers)
        )
        self.norm = plain_norm(width)
        self.out = nn.Linear(width, self.action_size)

    def forward(
        self, noisy: Tensor, time: int, condition: Tensor, reuse: list[BlockOutput] | None = None
    ) -> tuple[Tensor, list[BlockOutput]]:
        """Predict the noise.

        Args:
            noisy: Shape (B, T, action_size).
            time: step of the schedule.
            condition: Shape (B, 1, language width).
            reuse: block outputs of an earlier step, or None to compute.

        Returns:
            Shape (B, T, action_size), and the block outputs.
        """
        embedded = self.t_embedder["mlp"](_time_features(time, noisy))
        first = embedded + self.z_embedder(condition)
        x = torch.cat([first, self.x_embedder["linear"](noisy)], dim=1) + self.positional_embedding
        outputs = []
        for index, block in enumerate(self.blocks):
            x, output = block(x, reuse[index] if reuse is not None else None)
            outputs.append(output)
        return self.out(self.norm(x[:, 1:])), outputs

    def sample(
        self, noise: Tensor, condition: Tensor, plan: Plan, guidance: None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """See :meth:`vla_policy.model.head.ActionHead.sample`; actions are standardised."""
        x, outputs, computed = noise.to(condition.dtype), None, 0
        guided = self.config.guidance > 1.0
        if guided:
            condition = torch.cat([condition, self.uncondition.expand_as(condition)])
        steps = plan.head_steps(self.config.head.steps)
        for step, time, now, after in diffusion.timesteps(steps):
            refresh = outputs is None or plan.refreshes_step(step, steps)
            computed += refresh
            both = torch.cat([x, x]) if guided else x
            predicted, outputs = self(both, time, condition, None if refresh else outputs)
            if guided:
                predicted = self._guided(*predicted.chunk(2))
            x = diffusion.ddim_step(x, predicted, now, after)
        return x, (steps, computed)

    def _guided(self, with_condition: Tensor, without: Tensor) -> Tensor:
        first = slice(self.action_size)
        difference = with_condition[:, first] - without[:, first]
        moved = without[:, first] + self.config.guidance * difference
        return torch.cat([moved, with_condition[:, self.action_size :]], dim=1)


def _time_features(time: int, like: Tensor) -> Tensor:
    """Cosines and sines of a time step. Shape (1, 1, 256)."""
    half = FREQUENCIES // 2
    place = torch.arange(half, dtype=torch.float32, device=like.device) / half
    angle = time * torch.exp(-math.log(10000.0) * place)
    return torch.cat([angle.cos(), angle.sin()])[None, None].to(like.dtype)
