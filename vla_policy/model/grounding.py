"""Pointers: where the things that the instruction names are, read off the visual tokens.

Not in CogACT. The cognition token points into each camera's tokens by softmax attention; what it
points at, and the position read off it, condition the action head. Trained on positions known in
simulation, it makes a model of 3 M parameters find objects within an hour on two cores.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_policy.model.config import ModelConfig

POSITION_UNIT = 0.1
"""Unit of the network's positions [m]."""


class Grounding(nn.Module):
    """One pointer a named thing: attention over each camera's tokens, then a position."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, pointers = config.language.width, config.pointers
        self.pointers = pointers
        self.tokens_per_camera = config.tokens_per_camera
        self.cameras = len(config.cameras)
        self.query = nn.Linear(width, pointers * width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.fuse = nn.Sequential(
            nn.Linear((self.cameras + 1) * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.position = nn.Linear(width, 3)

    def forward(
        self, cognition: Tensor, visual: Tensor, kept: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Point.

        Args:
            cognition: Shape (B, width).
            visual: kept visual tokens. Shape (B, kept, width).
            kept: which tokens those are. Shape (B, kept).
            state: embedded state. Shape (B, width).

        Returns:
            features (B, pointers, width); positions (B, pointers, 3), relative to the end effector
            in base axes, in units of 0.1 m; and attention scores (B, pointers, kept).
        """
        batch, _, width = visual.shape
        query = self.query(cognition).view(batch, self.pointers, width)
        scores = query @ self.key(visual).transpose(1, 2) * width**-0.5
        # Values are linear: what is pointed at is mixed first, so that few rows are mapped.
        if kept.shape[1] == self.cameras * self.tokens_per_camera:
            by_camera = (batch, -1, self.cameras, self.tokens_per_camera)
            weights = scores.float().view(by_camera).softmax(-1).transpose(1, 2)
            seen = self.value(weights.to(visual.dtype) @ visual.view(batch, *by_camera[2:], width))
        else:
            cameras = torch.arange(self.cameras, device=kept.device)[:, None]
            here = (kept[:, None] // self.tokens_per_camera == cameras)[:, :, None]
            # A camera of which no token was kept adds nothing, rather than NaN.
            weights = scores.float()[:, None].masked_fill(~here, -1e9).softmax(-1) * here
            mixed = weights.to(visual.dtype) @ visual[:, None]
            seen = self.value(mixed) * here.any(-1, keepdim=True)
        context = state[:, None].expand(-1, self.pointers, -1)
        features = self.fuse(torch.cat([*seen.unbind(1), context], dim=-1))
        return features, self.position(features), scores
