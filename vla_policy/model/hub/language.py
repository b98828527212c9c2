"""Llama-2 in Prismatic's order: start token, visual tokens, prompt; its last is the cognition.

A batch is padded between the visual tokens and the prompt, so that both ends of all rows align;
padding takes no position and is not looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from vla_policy.model.decoder_layer import DecoderLayer
from vla_policy.model.hub.config import PrismaticConfig
from vla_policy.model.plan import Plan
from vla_policy.model.walk import LanguageOutput, PastKeys, step, walk

START = 1
"""Llama's token that begins a text."""


class PrismaticStack(nn.Module):
    """Decoder-only transformer over visual tokens and prompt."""

    router = None

    def __init__(self, config: PrismaticConfig) -> None:
        super().__init__()
        language = config.language
        llama = LlamaConfig(
            vocab_size=language.vocabulary,
            hidden_size=language.width,
            intermediate_size=language.mlp_width,
            num_hidden_layers=language.layers,
            num_attention_heads=language.heads,
            max_position_embeddings=language.max_text + config.visual_tokens + 2,
            rms_norm_eps=config.norm_epsilon,
        )
        llama._attn_implementation = "sdpa"
        self.embedding = nn.Embedding(language.vocabulary, language.width)
        self.layers = nn.ModuleList(DecoderLayer(llama, i) for i in range(language.layers))
        self.norm = LlamaRMSNorm(language.width, eps=config.norm_epsilon)
        # Not from the file, so made of real numbers even where the weights are only announced.
        with torch.device("cpu"):
            self.rotary = LlamaRotaryEmbedding(llama)

    def forward(
        self,
        text: Tensor,
        text_mask: Tensor,
        visual: Tensor,
        plan: Plan,
        continuation: PastKeys | None = None,
    ) -> LanguageOutput:
        """Run the layers that the plan wants.

        Args:
            text: token ids after the start token, padded at the left. Shape (B, L), int64.
            text_mask: True where a token is. Shape (B, L), bool.
            visual: projected visual tokens. Shape (B, V, width).
            plan: says which layers run and which visual tokens go on.
            continuation: filled, if further tokens are to follow.
        """
        batch, count = visual.shape[:2]
        start = self.embedding(text.new_full((batch, 1), START))
        hidden = torch.cat([start, visual, self.embedding(text)], dim=1)
        present = torch.cat([text_mask.new_ones(batch, 1 + count), text_mask], dim=1)
        places, words = slice(1, 1 + count), slice(1 + count, hidden.shape[1])
        return walk(self, hidden, present, places, words, plan, continuation)

    def follow(
        self, token: Tensor, position: Tensor, layers: tuple[int, ...], past: PastKeys
    ) -> Tensor:
        """State (B, width) of a further token (B,), at a position (B,), behind a walk."""
        embedded = self.embedding(token[:, None])
        return step(self, embedded, position[:, None], layers, past)
