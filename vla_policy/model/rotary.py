"""Rotary positions, looked up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding


class RotaryTable(nn.Module):
    """Llama's rotary positions in two operations instead of ten, as they are the same every time.

    Args:
        config: with the largest number of positions.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        positions = torch.arange(config.max_position_embeddings)[None]
        cosine, sine = LlamaRotaryEmbedding(config)(torch.zeros(()), positions)
        self.cosine = nn.Buffer(cosine[0], persistent=False)
        self.sine = nn.Buffer(sine[0], persistent=False)

    def forward(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine at positions (B, N), in the type of ``hidden``.

        Returns:
            Shapes (B, N, head width).
        """
        tables = self.cosine, self.sine
        cosine, sine = (functional.embedding(positions, table) for table in tables)
        return cosine.to(hidden.dtype), sine.to(hidden.dtype)
