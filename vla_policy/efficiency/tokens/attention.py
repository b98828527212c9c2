"""How much attention the visual tokens would get in a layer that has not run yet.

The layer's own norm, queries, keys and positions, for a few queries only: cheaper than the layer,
works with any attention kernel, and the choice comes before the layer rather than after it.
Nothing here waits for the host, so a CUDA graph can hold it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import rotate_half

from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates

LAST = slice(-1, None)
"""Where the last token lies, which the action hangs on."""


def attention_to_visual(tokens: TokenStates, layer: int, *queries: slice) -> Tensor:
    """Attention of some tokens to the visual ones, averaged over heads and summed over queries.

    For the cognition token, the last, this is the model's own attention. An earlier query would
    not see the visual tokens under the causal mask; here it does.

    Args:
        tokens: what would enter the layer.
        layer: which one.
        queries: where in N the tokens that ask lie; padding does not ask.

    Returns:
        Shape (B, V), float32.
    """
    about_to_run = cast(Any, tokens.layers[layer])
    attention = about_to_run.self_attn
    normed = about_to_run.input_layernorm(tokens.hidden)
    cosine, sine = tokens.rotary
    asking, its_cosine, its_sine, asks = (
        torch.cat([each[:, places] for places in queries], dim=1)
        for each in (normed, cosine, sine, tokens.present)
    )
    query = _turned(_heads(attention.q_proj(asking), attention), its_cosine, its_sine)
    key = _turned(_heads(attention.k_proj(normed), attention), cosine, sine)
    key = key.repeat_interleave(attention.num_key_value_groups, dim=1)
    logits = (query @ key.transpose(-1, -2) * attention.scaling).float()
    absent = ~tokens.present[:, None, None]
    weights = logits.masked_fill(absent, -torch.inf).softmax(-1)[..., tokens.visual].mean(1)
    return (weights * asks[..., None]).sum(1)


def overhead(config: ModelConfig, queries: int, text_tokens: int) -> float:
    """Operations of :func:`attention_to_visual` [FLOP]."""
    width = config.language.width
    keys = text_tokens + config.visual_tokens + 2
    return 2.0 * (queries + keys) * width**2 + 2.0 * queries * keys * width


def _heads(projected: Tensor, attention: Any) -> Tensor:
    """(B, N, heads * d) to (B, heads, N, d)."""
    return projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def _turned(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions put in. Shape (B, heads, N, d)."""
    return states * cosine[:, None] + rotate_half(states) * sine[:, None]
