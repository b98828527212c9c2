"""The walk over the decoder layers, where a plan is asked what is computed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vla_policy.errors import PolicyError
from vla_policy.model.plan import Plan, TokenStates
from vla_policy.model.token_reuse import TokenReuse


@dataclass(frozen=True)
class LanguageOutput:
    """What the stack hands on.

    Attributes:
        cognition: state of the last token. Shape (B, width).
        visual: states of the visual tokens that were kept. Shape (B, kept, width).
        kept: which visual tokens those are. Shape (B, kept).
        layers_run: layers that ran, for each row.
        visual_tokens: how many visual tokens entered each layer of the stack. Length: layers.
        reused_tokens: how many of these came from an earlier frame.
        hidden: states of all tokens after the last layer, before the norm. Shape (B, N, width).
    """

    cognition: Tensor
    visual: Tensor
    kept: Tensor
    layers_run: tuple[tuple[int, ...], ...]
    visual_tokens: tuple[int, ...]
    reused_tokens: tuple[int, ...]
    hidden: Tensor


class PastKeys:
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


@dataclass(frozen=True)
class _Past:
    """What a layer calls with its keys and values, if anything.

    Attributes:
        continuation: takes them in for further tokens.
        present: False where a row is padded. Shape (B, N), bool.
        reuse: adds those of tokens that are not computed.
    """

    continuation: PastKeys | None
    present: Tensor
    reuse: TokenReuse | None

    def at(self, index: int) -> PastKeys | TokenReuse | None:
        """For a layer that runs for all rows."""
        if self.continuation is None:
            return self.reuse
        self.continuation.present[index], self.continuation.reuse = self.present, self.reuse
        return self.continuation

    def refuse_rows(self) -> None:
        """Keys and values are kept for all rows of a batch or none.

        Raises:
            PolicyError: they are kept, and a layer is to run for some rows only.
        """
        if self.continuation is not None or self.reuse is not None:
            raise PolicyError(
                "layers of a policy that keeps keys and values",
                got="others for each row of the batch",
                expected="the same for all, or one observation at a time",
            )


def walk(
    stack: Any,
    hidden: Tensor,
    present: Tensor,
    visual: slice,
    text: slice,
    plan: Plan,
    continuation: PastKeys | None = None,
) -> LanguageOutput:
    """Run the layers that the plan wants.

    Args:
        stack: a module with ``layers``, ``norm`` and ``rotary``, as Llama has them, and with a
            ``router``, which may be None.
        hidden: all tokens; the last one is the cognition token. Shape (B, N, width).
        present: False where a row is padded. Shape (B, N), bool.
        visual: where the visual tokens lie in N.
        text: where the instruction lies in N.
        plan: says which layers run and which visual tokens go on.
        continuation: filled, if further tokens are to follow.
    """
    start, count = visual.start, visual.stop - visual.start
    kept = torch.arange(count, device=hidden.device).expand(len(hidden), count)
    positions = present.cumsum(1).sub_(1).clamp_(min=0)
    mask = causal_mask(present, hidden.dtype)
    rotary = stack.rotary(hidden, positions)
    states = TokenStates(hidden, visual, text, present, rotary, stack.layers, stack.router)
    reuse: TokenReuse | None = None
    layers_run: list[list[int]] = [[] for _ in hidden]
    visual_tokens, reused_tokens = [], []
    for index, layer in enumerate(stack.layers):
        if reuse is None:
            if states.hidden is not hidden:
                states = replace(states, hidden=hidden)
            chosen = plan.select_tokens(index, states)
            if chosen is not None:
                kept = kept.gather(1, chosen)
                rows = _rows(chosen, visual, hidden.shape[1])
                hidden, present = _take(hidden, rows), present.gather(1, rows)
                rotary = _take(rotary[0], rows), _take(rotary[1], rows)
                mask = _among(mask, rows)
                visual = slice(start, start + kept.shape[1])
                gone = count - kept.shape[1] if text.start > start else 0
                words = slice(text.start - gone, text.stop - gone)
                states = replace(
                    states, hidden=hidden, visual=visual, text=words, present=present, rotary=rotary
                )
            elif (reuse := plan.reuse_tokens(index, states)) is not None:
                hidden, mask, rotary = reuse.enter(hidden, mask, rotary)
        answer = plan.runs_layer(index, states)
        if answer is not False:
            past = _Past(continuation, present, reuse)
            hidden, ran = _run(layer, index, answer, hidden, mask, rotary, past)
            for row in ran:
                layers_run[row].append(index)
        visual_tokens.append(kept.shape[1])
        reused_tokens.append(reuse.saved if reuse is not None else 0)
    if reuse is not None:
        hidden = reuse.leave(hidden)
    normed = stack.norm(hidden)
    return LanguageOutput(
        cognition=normed[:, -1],
        visual=normed[:, start : start + kept.shape[1]],
        kept=kept,
        layers_run=tuple(map(tuple, layers_run)),
        visual_tokens=tuple(visual_tokens),
        reused_tokens=tuple(reused_tokens),
        hidden=hidden,
    )


def _run(
    layer: Any,
    index: int,
    answer: bool | Tensor,
    hidden: Tensor,
    mask: Tensor,
    rotary: tuple[Tensor, Tensor],
    past: _Past,
) -> tuple[Tensor, Sequence[int]]:
    """Run a layer as a plan answered; the new states, and the rows for which it was computed.

    Args:
        answer: True, or one for each row.
    """
    everywhere = range(len(hidden))
    if isinstance(answer, Tensor) and answer.dtype == torch.bool:
        rows = answer.nonzero()[:, 0]
        if 0 < len(rows) < len(hidden):
            past.refuse_rows()
            position = rotary[0][rows], rotary[1][rows]
            moved = layer(hidden[rows], attention_mask=mask[rows], position_embeddings=position)
            return hidden.index_copy(0, rows, moved), rows.tolist()
        if not len(rows):
            return hidden, ()
        answer = True
    moved = layer(
        hidden, attention_mask=mask, position_embeddings=rotary, past_key_values=past.at(index)
    )
    if answer is True:
        return moved, everywhere
    # h + g (Layer(h) - h); lerp, because it is exact at 0 and 1.
    gate = answer.to(hidden.dtype)[:, None, None]
    return torch.lerp(hidden, moved, gate), everywhere


def step(
    stack: Any, token: Tensor, position: Tensor, layers: Sequence[int], past: PastKeys
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


def causal_mask(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask (B, 1, N, N): causal, and never to padding (but to oneself)."""
    causal, oneself = _causal(present.shape[1], dtype, present.device)
    return torch.where(present[:, None, None] | oneself, causal, torch.finfo(dtype).min)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _causal(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Additive mask of a sequence without padding, and where a token meets itself. (N, N)."""
    causal = torch.ones(size, size, dtype=torch.bool, device=device).tril()
    return _additive(causal, dtype), torch.eye(size, dtype=torch.bool, device=device)


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


def _among(mask: Tensor, rows: Tensor) -> Tensor:
    """The mask of some tokens among themselves, in their order. Shape (B, 1, n, n)."""
    kept = _take(mask[:, 0], rows)
    return kept.gather(2, rows[:, None].expand(-1, kept.shape[1], -1))[:, None]
