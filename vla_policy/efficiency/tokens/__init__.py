"""Which visual tokens go on? Methods that choose; the budget says how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from vla_policy.efficiency.method import Amount, Method
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates

Draws = Sequence[tuple[int, int]]
"""Seed and sequence number of each row's chunk, so that what is random can be drawn again."""


class TokenMethod(Method, Protocol):
    """Chooses once in an inference; the tokens that are left keep their order and positions.

    Attributes:
        keep: visual tokens that go on unless the budget is changed.
        at: the layer before which the others are dropped.
    """

    keep: Amount
    at: int

    def select(self, tokens: TokenStates, keep: int, draws: Draws) -> Tensor:
        """Choose.

        Args:
            tokens: what would enter layer ``at``.
            keep: how many to choose, less than there are.
            draws: of the rows; may be shorter than the batch outside of episodes.

        Returns:
            Indices into the visual tokens, ascending, without duplicates. Shape (B, keep), int64.
        """
        ...

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """Operations that choosing takes [FLOP]."""
        ...
