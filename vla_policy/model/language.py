"""The language stack: Llama decoder layers (arXiv 2307.09288), walked by ``walk.py``.

Token order: instruction, state, visual tokens of each camera, cognition token. In a causal stack
the visual tokens can thus attend to the instruction, and the cognition token to everything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import LlamaConfig

from vla_policy.model.config import ModelConfig
from vla_policy.model.decoder_layer import DecoderLayer
from vla_policy.model.plan import Plan
from vla_policy.model.rotary import RotaryTable
from vla_policy.model.router import LayerRouter
from vla_policy.model.walk import LanguageOutput, walk


class LanguageStack(nn.Module):
    """Decoder-only transformer over text, state and visual tokens."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        language = config.language
        llama = LlamaConfig(
            vocab_size=language.vocabulary,
            hidden_size=language.width,
            intermediate_size=language.mlp_width,
            num_hidden_layers=language.layers,
            num_attention_heads=language.heads,
            max_position_embeddings=language.max_text + config.visual_tokens + 2,
        )
        llama._attn_implementation = "eager"  # faster than SDPA in CPU training at this size
        self.embedding = nn.Embedding(language.vocabulary, language.width)
        nn.init.normal_(self.embedding.weight, std=0.5)  # on the scale of the visual tokens
        self.cognition = nn.Parameter(torch.randn(language.width) * 0.5)
        self.layers = nn.ModuleList(DecoderLayer(llama, i) for i in range(language.layers))
        self.norm = nn.RMSNorm(language.width, eps=llama.rms_norm_eps)
        self.rotary = RotaryTable(llama)
        self.router = LayerRouter(config) if config.router else None

    def forward(
        self, text: Tensor, text_mask: Tensor, state: Tensor, visual: Tensor, plan: Plan
    ) -> LanguageOutput:
        """Run the layers that the plan wants.

        Args:
            text: token ids, padded. Shape (B, L), int64.
            text_mask: True where a token is. Shape (B, L), bool.
            state: embedded state. Shape (B, 1, width).
            visual: projected visual tokens. Shape (B, V, width).
            plan: says which layers run and which visual tokens go on.
        """
        batch, length = text.shape
        cognition = self.cognition.expand(batch, 1, -1)
        hidden = torch.cat([self.embedding(text), state, visual, cognition], dim=1)
        start = length + 1
        present = torch.cat([text_mask, text_mask.new_ones(batch, hidden.shape[1] - length)], dim=1)
        places = slice(start, start + visual.shape[1])
        return walk(self, hidden, present, places, slice(0, length), plan)
