"""Visual tokens that are not computed again: their keys and values come from an earlier frame.

The decoder layers take a :class:`TokenReuse` where they would take a cache of transformers: each
layer gives it the keys and values of the tokens that are computed, and gets those of all back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KeptTokens:
    """What one row's visual tokens left behind.

    Attributes:
        keys, values: by language layer, positions put in. Shapes (heads, V, head width).
        states: what the last layer made of them, before the norm. Shape (V, width).
    """

    keys: Mapping[int, Tensor]
    values: Mapping[int, Tensor]
    states: Tensor


class TokenReuse:
    """From one layer on, some visual tokens of each row are taken from what was kept of them.

    A row that computes fewer tokens than another of the batch is filled up with copies of its last
    token, whose results go nowhere.

    Args:
        visual: where the visual tokens lie among all N.
        reused: which of them are taken from ``kept``. Shape (B, V), bool.
        kept: by row; None where the row reuses nothing.
        keep: called at the end with what this frame leaves behind, by row.
        saved: tokens that no row computes; by default what ``reused`` says.
    """

    def __init__(
        self,
        visual: slice,
        reused: Tensor,
        kept: Sequence[KeptTokens | None],
        keep: Callable[[list[KeptTokens]], None] = lambda kept: None,
        saved: int | None = None,
    ) -> None:
        self.saved = int(reused.sum(1).min()) if saved is None else saved
        self._any = self.saved > 0 or bool(reused.any())
        self._visual, self._reused, self._kept, self._keep = visual, reused, kept, keep
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._rows: Tensor | None = None
        self._size = 0

    def enter(
        self, hidden: Tensor, mask: Tensor, rotary: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Leave only what is computed.

        Args:
            hidden: all tokens. Shape (B, N, width).
            mask: additive, queries by keys. Shape (B, 1, N, N).
            rotary: cosine and sine of the positions. Shapes (B, N, head width).

        Returns:
            The same for n computed tokens; the mask still has all N keys.
        """
        batch, self._size = hidden.shape[:2]
        if not self._any:
            return hidden, mask, rotary
        most = self._size - self.saved
        reused = torch.zeros(batch, self._size, dtype=torch.bool, device=hidden.device)
        reused[:, self._visual] = self._reused
        # Computed ones first, in their order; what fills a row up lies behind the end.
        order = reused.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
        filling = torch.arange(most, device=hidden.device) >= (~reused).sum(1)[:, None]
        self._rows = order.masked_fill(filling, self._size)
        place = self._rows.clamp(max=self._size - 1)
        cosine, sine = (_take(each, place) for each in rotary)
        mask = mask.gather(2, place[:, None, :, None].expand(-1, 1, -1, self._size))
        return _take(hidden, place), mask, (cosine, sine)

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """What a layer calls with the keys and values of what it computes.

        Args:
            keys, values: Shapes (B, heads, n, head width).
            layer: its number.

        Returns:
            Those of all tokens. Shapes (B, heads, N, head width).
        """
        if self._rows is not None:
            keys = self._whole(keys, [kept and kept.keys[layer] for kept in self._kept])
            values = self._whole(values, [kept and kept.values[layer] for kept in self._kept])
        self._keys[layer], self._values[layer] = keys, values
        return keys, values

    def leave(self, hidden: Tensor) -> Tensor:
        """All tokens again, for those of the last layer; what they leave behind is kept.

        Args:
            hidden: of the computed ones. Shape (B, n, width).

        Returns:
            Shape (B, N, width).
        """
        if self._rows is not None:
            states = [kept and kept.states[None] for kept in self._kept]
            hidden = self._whole(hidden[:, None], states)[:, 0]
        visual = self._visual
        self._keep(
            [
                KeptTokens(
                    {layer: keys[row, :, visual] for layer, keys in self._keys.items()},
                    {layer: values[row, :, visual] for layer, values in self._values.items()},
                    hidden[row, visual],
                )
                for row in range(len(hidden))
            ]
        )
        return hidden

    def _whole(self, computed: Tensor, kept: Sequence[Tensor | None]) -> Tensor:
        """Put what is computed (B, H, n, d) where it belongs among what was kept (H, V, d)."""
        assert self._rows is not None, "only after something was left out"
        batch, heads, _, width = computed.shape
        whole = computed.new_zeros(batch, heads, self._size + 1, width)
        for row, each in enumerate(kept):
            if each is not None:
                whole[row, :, self._visual] = each
        places = self._rows[:, None, :, None].expand(-1, heads, -1, width)
        return whole.scatter(2, places, computed)[:, :, : self._size]


def _take(tokens: Tensor, rows: Tensor) -> Tensor:
    return tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[2]))
