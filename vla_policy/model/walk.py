"""The walk over the decoder layers, where a plan is asked what is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vla_policy.model.plan import Plan, TokenStates
from vla_policy.model.token_reuse import TokenReuse


@dataclass(frozen=True)
class LanguageOutput:
    """What the stack hands on.

    Attributes:
        cognition: state of the last token. Shape (B, width).
        visual: states of the visual tokens that were kept. Shape (B, kept, width).
        kept: which visual tokens those are. Shape (B, kept).
        layers_run: layers that ran.
        visual_tokens: how many visual tokens each of them had.
        reused_tokens: how many of these came from an earlier frame.
    """

    cognition: Tensor
    visual: Tensor
    kept: Tensor
    layers_run: tuple[int, ...]
    visual_tokens: tuple[int, ...]
    reused_tokens: tuple[int, ...]


class Continuation:
    """Keys and values of a walk, so that further tokens can be put behind it.

    Attributes:
        present: by layer, which of its tokens are no padding. Shape (B, tokens of that layer).
    """

    def __init__(self) -> None:
        self.present: dict[int, Tensor] = {}
        self.reuse: TokenReuse | None = None
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """What a layer calls with keys and values (B, heads, n, d); gives all there are."""
        if layer in self._kept:
            before = self._kept[layer]
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        elif self.reuse is not None:
            keys, values = self.reuse.update(keys, values, layer)
        self._kept[layer] = keys, values
        return keys, values


def walk(
    stack: Any,
    hidden: Tensor,
    present: Tensor,
    visual: slice,
    text: slice,
    plan: Plan,
    continuation: Continuation | None = None,
) -> LanguageOutput:
    """Run the layers that the plan wants.

    Args:
        stack: a module with ``layers``, ``norm`` and ``rotary``, as Llama has them.
        hidden: all tokens; the last one is the cognition token. Shape (B, N, width).
        present: False where a row is padded. Shape (B, N), bool.
        visual: where the visual tokens lie in N.
        text: where the instruction lies in N.
        plan: says which layers run and which visual tokens go on.
        continuation: filled, if further tokens are to follow.
    """
    start, count = visual.start, visual.stop - visual.start
    kept = torch.arange(count, device=hidden.device).expand(len(hidden), count)
    positions = present.long().cumsum(1) - 1
    mask = causal_mask(present, hidden.dtype)
    rotary = stack.rotary(hidden, positions.clamp(min=0))
    reuse: TokenReuse | None = None
    layers_run, visual_tokens, reused_tokens = [], [], []
    for index, layer in enumerate(stack.layers):
        if reuse is None:
            visual = slice(start, start + kept.shape[1])
            gone = count - kept.shape[1] if text.start > start else 0
            words = slice(text.start - gone, text.stop - gone)
            states = TokenStates(hidden, visual, words, present, rotary, layer)
            chosen = plan.select_tokens(index, states)
            if chosen is not None:
                kept = kept.gather(1, chosen)
                rows = _rows(chosen, visual, hidden.shape[1])
                hidden = _take(hidden, rows)
                positions, present = positions.gather(1, rows), present.gather(1, rows)
                mask = causal_mask(present, hidden.dtype)
                rotary = stack.rotary(hidden, positions.clamp(min=0))
            elif (reuse := plan.reuse_tokens(index, states)) is not None:
                hidden, mask, rotary = reuse.enter(hidden, mask, rotary)
        if plan.runs_layer(index, hidden):
            past = _past(continuation, index, present, reuse)
            hidden = layer(
                hidden, attention_mask=mask, position_embeddings=rotary, past_key_values=past
            )
            layers_run.append(index)
            visual_tokens.append(kept.shape[1])
            reused_tokens.append(reuse.saved if reuse is not None else 0)
    if reuse is not None:
        hidden = reuse.leave(hidden)
    hidden = stack.norm(hidden)
    return LanguageOutput(
        cognition=hidden[:, -1],
        visual=hidden[:, start : start + kept.shape[1]],
        kept=kept,
        layers_run=tuple(layers_run),
        visual_tokens=tuple(visual_tokens),
        reused_tokens=tuple(reused_tokens),
    )


def step(
    stack: Any, token: Tensor, position: Tensor, layers: Sequence[int], past: Continuation
) -> Tensor:
    """Put one more token of each row behind a walk.

    Args:
        stack: as in :func:`walk`.
        token: its embedding. Shape (B, 1, width).
        position: its place, counted without padding and with all visual tokens. Shape (B, 1).
        layers: those that ran in the walk.
        past: of the walk; takes this token in.

    Returns:
        Its state after the last norm. Shape (B, width).
    """
    rotary = stack.rotary(token, position)
    for index in layers:
        present = past.present[index]
        past.present[index] = torch.cat([present, present.new_ones(len(present), 1)], 1)
        mask = _additive(past.present[index][:, None, None], token.dtype)
        token = stack.layers[index](
            token, attention_mask=mask, position_embeddings=rotary, past_key_values=past
        )
    return stack.norm(token)[:, -1]


def _past(
    continuation: Continuation | None, index: int, present: Tensor, reuse: TokenReuse | None
) -> Continuation | TokenReuse | None:
    if continuation is None:
        return reuse
    continuation.present[index], continuation.reuse = present, reuse
    return continuation


def causal_mask(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, N, N): causal, and never to padding (but to oneself)."""
    size = present.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=present.device).tril()
    oneself = torch.eye(size, dtype=torch.bool, device=present.device)
    return _additive(((causal & present[:, None]) | oneself)[:, None], dtype)


def _additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)


def _rows(chosen: Tensor, visual: slice, size: int) -> Tensor:
    rows = torch.arange(size, device=chosen.device).expand(chosen.shape[0], size)
    return torch.cat(
        [rows[:, : visual.start], chosen + visual.start, rows[:, visual.stop :]], dim=1
    )


def _take(hidden: Tensor, rows: Tensor) -> Tensor:
    return hidden.gather(1, rows[..., None].expand(-1, -1, hidden.shape[2]))
