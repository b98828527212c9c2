"""A probe on the visual tokens: what is in the scene, and where. Thrown away after training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_policy.model.grounding import POSITION_UNIT
from vla_sim.scene.things import THINGS


class SceneProbe(nn.Module):
    """One learned query for each thing, attending to the front camera's tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(len(THINGS), width) * 0.5)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.read = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 3))

    def forward(self, tokens: Tensor, things: Tensor) -> Tensor:
        """Error of presence and position.

        Args:
            tokens: projected tokens of the front camera. Shape (B, V, width).
            things: present, x, y [m]. Shape (B, things, 3).
        """
        scores = self.query @ self.key(tokens).transpose(1, 2) * tokens.shape[-1] ** -0.5
        seen = scores.softmax(-1) @ self.value(tokens)
        query = self.query.expand(len(tokens), -1, -1)
        guess = self.read(torch.cat([seen, query.to(seen.dtype)], dim=-1)).float()
        present = things[..., 0]
        presence = functional.binary_cross_entropy_with_logits(guess[..., 0], present)
        # Metres from the middle of the workspace.
        place = (things[..., 1:] - torch.tensor([0.32, 0.0], device=things.device)) / POSITION_UNIT
        error = functional.smooth_l1_loss(guess[..., 1:], place, beta=0.1, reduction="none")
        return presence + (error.mean(-1) * present).sum() / present.sum().clamp(min=1)
