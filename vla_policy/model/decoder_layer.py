"""Llama's decoder layer, with a shorter way through it where nothing but the answer is wanted.

At batch 1 and small widths a layer of transformers spends a fifth of its time between the matrix
products: modules that call modules, and positions put in by ten operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm


class DecoderLayer(LlamaDecoderLayer):
    """Computes the same, up to rounding, in fewer operations while in inference mode.

    Everywhere else (training, calibration under ``no_grad``, counting) it is Llama's own code, in
    which gradients flow and hooks on its modules are called; on the short way only the layer's own
    hooks are.

    The weights are read where they lie, at every call, so that nothing can go stale. One product of
    q, k and v and one of gate and up, from packed weights, gained 2 % of a layer at width 128: too
    little for weights that ``to``, ``deepcopy`` and ``load_state_dict`` tear apart.
    """

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """See transformers; in inference mode called as ``walk.py`` does."""
        if self.training or not torch.is_inference_mode_enabled():
            return super().forward(hidden_states, *args, **kwargs)
        return self._infer(hidden_states, *args, **kwargs)

    def _infer(
        self,
        hidden: Tensor,
        *,
        attention_mask: Tensor | None,
        position_embeddings: tuple[Tensor, Tensor],
        past_key_values: Any = None,
    ) -> Tensor:
        """Transform.

        Args:
            hidden: Shape (B, N, width).
            attention_mask: additive, queries by keys. Shape (B, 1, N, keys).
            position_embeddings: cosine and sine of the positions. Shapes (B, N, head width).
            past_key_values: takes keys and values (B, heads, N, head width), gives all there are.
        """
        batch, count, width = hidden.shape
        attention, mlp = self.self_attn, self.mlp
        tokens = hidden.reshape(-1, width)
        normed = _normed(self.input_layernorm, tokens)
        by_head = (batch, count, -1, attention.head_dim)
        cosine, sine = (each.unsqueeze(2) for each in position_embeddings)
        query = _turned(_projected(attention.q_proj, normed).view(by_head), cosine, sine)
        key = _turned(_projected(attention.k_proj, normed).view(by_head), cosine, sine)
        value = _projected(attention.v_proj, normed).view(by_head).transpose(1, 2)
        query, key = query.transpose(1, 2), key.transpose(1, 2)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, attention.layer_idx)
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            scale=attention.scaling,
            enable_gqa=attention.num_key_value_groups > 1,
        )
        mixed = mixed.transpose(1, 2).reshape(batch * count, -1)
        tokens = tokens + _projected(attention.o_proj, mixed)
        normed = _normed(self.post_attention_layernorm, tokens)
        gate = mlp.act_fn(_projected(mlp.gate_proj, normed))
        channels = gate.mul_(_projected(mlp.up_proj, normed))
        return (tokens + _projected(mlp.down_proj, channels)).view(batch, count, width)


def _normed(norm: LlamaRMSNorm, tokens: Tensor) -> Tensor:
    return functional.rms_norm(tokens, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _projected(linear: nn.Linear, tokens: Tensor) -> Tensor:
    return functional.linear(tokens, linear.weight, linear.bias)


def _turned(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions put in: x cos + rotate_half(x) sin. Shape (B, N, heads, head width)."""
    half = states.shape[-1] // 2
    turned = states * cosine
    turned[..., :half].addcmul_(states[..., half:], sine[..., :half], value=-1)
    turned[..., half:].addcmul_(states[..., :half], sine[..., half:])
    return turned
