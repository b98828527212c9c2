"""The language stack: Llama decoder layers (arXiv 2307.09288), walked by our own loop.

Token order: instruction, state, visual tokens of each camera, cognition token. In a causal stack
the visual tokens can thus attend to the instruction, and the cognition token to everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
)

from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import Plan, TokenStates
from vla_policy.model.router import LayerRouter


@dataclass(frozen=True)
class LanguageOutput:
    """What the stack hands on.

    Attributes:
        cognition: state of the last token. Shape (B, width).
        visual: states of the visual tokens that were kept. Shape (B, kept, width).
        kept: which visual tokens those are. Shape (B, kept).
        layers_run: layers that ran, for each row.
        visual_tokens: how many visual tokens entered each layer of the stack. Length: layers.
        hidden: states of all tokens after the last layer, before the norm. Shape (B, N, width).
    """

    cognition: Tensor
    visual: Tensor
    kept: Tensor
    layers_run: tuple[tuple[int, ...], ...]
    visual_tokens: tuple[int, ...]
    hidden: Tensor


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
        self.layers = nn.ModuleList(LlamaDecoderLayer(llama, i) for i in range(language.layers))
        self.norm = LlamaRMSNorm(language.width)
        self.rotary = LlamaRotaryEmbedding(llama)
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
        count = visual.shape[1]
        kept = torch.arange(count, device=text.device).expand(batch, count)
        present = torch.cat([text_mask, text_mask.new_ones(batch, hidden.shape[1] - length)], dim=1)
        positions = present.long().cumsum(1) - 1
        mask = _causal_mask(present, hidden.dtype)
        rotary = self.rotary(hidden, positions.clamp(min=0))
        layers_run: list[list[int]] = [[] for _ in range(batch)]
        visual_tokens = []
        for index, layer in enumerate(self.layers):
            visual_slice = slice(start, start + kept.shape[1])
            states = TokenStates(hidden, visual_slice, present, rotary, layer, self.router)
            chosen = plan.select_tokens(index, states)
            if chosen is not None:
                kept = kept.gather(1, chosen)
                rows = _rows(chosen, visual_slice, hidden.shape[1])
                hidden = _take(hidden, rows)
                positions, present = positions.gather(1, rows), present.gather(1, rows)
                mask = _causal_mask(present, hidden.dtype)
                rotary = self.rotary(hidden, positions.clamp(min=0))
                visual_slice = slice(start, start + kept.shape[1])
                states = TokenStates(hidden, visual_slice, present, rotary, layer, self.router)
            hidden, ran = _run(layer, plan.runs_layer(index, states), hidden, mask, rotary)
            for row in ran:
                layers_run[row].append(index)
            visual_tokens.append(kept.shape[1])
        normed = self.norm(hidden)
        return LanguageOutput(
            cognition=normed[:, -1],
            visual=normed[:, start : start + kept.shape[1]],
            kept=kept,
            layers_run=tuple(map(tuple, layers_run)),
            visual_tokens=tuple(visual_tokens),
            hidden=hidden,
        )


def _run(
    layer: nn.Module,
    answer: bool | Tensor,
    hidden: Tensor,
    mask: Tensor,
    rotary: tuple[Tensor, Tensor],
) -> tuple[Tensor, Sequence[int]]:
    """Run a layer as a plan answered; the new states, and the rows for which it was computed."""
    everywhere, nowhere = range(len(hidden)), range(0)
    if isinstance(answer, Tensor) and answer.dtype == torch.bool:
        rows = answer.nonzero()[:, 0]
        if 0 < len(rows) < len(hidden):
            position = rotary[0][rows], rotary[1][rows]
            moved = layer(hidden[rows], attention_mask=mask[rows], position_embeddings=position)
            return hidden.index_copy(0, rows, moved), rows.tolist()
        answer = len(rows) > 0
    if answer is False:
        return hidden, nowhere
    moved = layer(hidden, attention_mask=mask, position_embeddings=rotary)
    if answer is True:
        return moved, everywhere
    # h + g (Layer(h) - h); lerp, because it is exact at 0 and 1.
    gate = answer.to(hidden.dtype)[:, None, None]
    return torch.lerp(hidden, moved, gate), everywhere


def _causal_mask(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, N, N): causal, and never to padding (but to oneself)."""
    size = present.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=present.device).tril()
    oneself = torch.eye(size, dtype=torch.bool, device=present.device)
    allowed = (causal & present[:, None]) | oneself
    mask = torch.zeros(allowed.shape, dtype=dtype, device=present.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def _rows(chosen: Tensor, visual: slice, size: int) -> Tensor:
    batch = chosen.shape[0]
    rows = torch.arange(size, device=chosen.device).expand(batch, size)
    return torch.cat(
        [rows[:, : visual.start], chosen + visual.start, rows[:, visual.stop :]], dim=1
    )


def _take(hidden: Tensor, rows: Tensor) -> Tensor:
    return hidden.gather(1, rows[..., None].expand(-1, -1, hidden.shape[2]))
