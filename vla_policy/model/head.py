"""The action head: a diffusion transformer in CogACT's form (arXiv 2411.19650, section 3.3).

Plain pre-norm blocks without adaLN; the time step enters with the cognition feature, as the first
condition token. State and pointer features are further condition tokens (not in CogACT).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vla_policy.model import diffusion
from vla_policy.model.config import ModelConfig
from vla_policy.model.guidance import Guidance, Velocity
from vla_policy.model.plan import Plan

BlockOutput = tuple[Tensor, Tensor]
"""What attention and MLP of a block added to the residual stream."""


class Block(nn.Module):
    """Pre-norm attention and MLP, whose outputs can be reused from an earlier denoising step.

    Args:
        width, heads, mlp_width: sizes.
        norm: makes the norm of a width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_width: int,
        norm: Callable[[int], nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = norm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = norm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_width), nn.GELU(approximate="tanh"), nn.Linear(mlp_width, width)
        )

    def forward(self, x: Tensor, reuse: BlockOutput | None) -> tuple[Tensor, BlockOutput]:
        """Transform (B, N, width); with ``reuse`` nothing is computed but two additions."""
        if reuse is not None:
            return x + reuse[0] + reuse[1], reuse
        attention = self._attend(self.norm1(x))
        x = x + attention
        mlp = self.mlp(self.norm2(x))
        return x + mlp, (attention, mlp)

    def _attend(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        qkv = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, count, width))


class ActionHead(nn.Module):
    """Denoises a chunk of actions under a condition."""

    def __init__(self, config: ModelConfig, action_size: int) -> None:
        super().__init__()
        head = config.head
        self.config = config
        self.action_size = action_size
        self.embed = nn.Linear(action_size, head.width)
        self.positions = nn.Parameter(torch.randn(config.horizon, head.width) * 0.1)
        self.condition = nn.Linear(config.language.width, head.width)
        self.condition_mark = nn.Parameter(torch.randn(2 + config.pointers, head.width) * 0.1)
        self.time = nn.Sequential(
            nn.Linear(64, head.width), nn.SiLU(), nn.Linear(head.width, head.width)
        )
        self.blocks = nn.ModuleList(
            Block(head.width, head.heads, head.mlp_width) for _ in range(head.layers)
        )
        self.norm = nn.LayerNorm(head.width)
        self.out = nn.Linear(head.width, action_size)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        noisy: Tensor,
        time: Tensor,
        condition: Tensor,
        reuse: list[BlockOutput] | None = None,
    ) -> tuple[Tensor, list[BlockOutput]]:
        """Predict the velocity.

        Args:
            noisy: Shape (B, T, action_size).
            time: Shape (B,).
            condition: cognition, state and pointers. Shape (B, 2 + pointers, language width).
            reuse: block outputs of an earlier step, or None to compute.

        Returns:
            velocity (B, T, action_size) and the block outputs.
        """
        condition = self.condition(condition) + self.condition_mark
        first = condition[:, :1] + self.time(_time_features(time))[:, None]
        x = torch.cat([first, condition[:, 1:], self.embed(noisy) + self.positions], dim=1)
        outputs = []
        for index, block in enumerate(self.blocks):
            x, output = block(x, reuse[index] if reuse is not None else None)
            outputs.append(output)
        return self.out(self.norm(x[:, -noisy.shape[1] :])), outputs

    def sample(
        self, noise: Tensor, condition: Tensor, plan: Plan, guidance: Guidance | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Denoise by DDIM; the plan says how many steps there are and which are computed.

        Args:
            noise: Shape (B, T, action_size).
            condition: Shape (B, 2 + pointers, language width).
            plan: answers.
            guidance: towards the chunk before; None leaves the head free.

        Returns:
            The chunk (B, T, action_size); how many steps there were and how many were computed.
        """
        x, outputs, computed = noise, None, 0
        steps = plan.head_steps(self.config.head.steps)
        for step, now, after in diffusion.timesteps(steps):
            refresh = outputs is None or plan.refreshes_step(step, steps)
            computed += refresh
            reuse = None if refresh else outputs
            if guidance is None:
                velocity, outputs = self(x, x.new_full((len(x),), now), condition, reuse)
            else:
                velocity, outputs = guidance.steer(self._at(now, condition, reuse), x, now)
            x = diffusion.ddim_step(x, velocity, now, after)
        return x, (steps, computed)

    def _at(self, now: float, condition: Tensor, reuse: list[BlockOutput] | None) -> Velocity:
        """The head as a function of the noisy actions alone, which gradients can pass."""
        return lambda x: self(x, x.new_full((len(x),), now), condition.clone(), reuse)


def _time_features(time: Tensor) -> Tensor:
    """Sines and cosines of the time in [0, 1]. Shape (B, 64)."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(100.0), 32, device=time.device))
    angle = time[:, None] * frequencies
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(time.dtype)
