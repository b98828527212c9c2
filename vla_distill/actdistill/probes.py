"""What each layer knows of the action: probes on its semantic vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ActionProbes(nn.Module):
    """One small head a layer, from its semantic vector to the whole chunk.

    The release's predict the last action of the chunk only; the first ones are those executed.
    """

    def __init__(self, semantics: int, layers: int, horizon: int, action_size: int) -> None:
        super().__init__()
        self.shape = (horizon, action_size)
        self.heads = nn.ModuleList(
            nn.Linear(semantics, horizon * action_size) for _ in range(layers)
        )

    def forward(self, semantics: Tensor) -> Tensor:
        """Semantic vectors (B, layers, semantics) to chunks (B, layers, T, action_size)."""
        chunks = [head(semantics[:, layer]) for layer, head in enumerate(self.heads)]
        return torch.stack(chunks, dim=1).unflatten(-1, self.shape)
