"""Which visual tokens come from an earlier frame? Methods that choose; the budget says how many.

What an episode keeps of its frames lies in its Memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from vla_policy.efficiency.method import Amount, Method
from vla_policy.efficiency.reuse.frame import Frame
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates


class ReuseMethod(Method, Protocol):
    """Chooses once in an inference, before layer ``at``.

    Attributes:
        reuse: visual tokens that are reused at most unless the budget is changed.
        at: the layer from which on they are.
        refresh: chunks after which all are computed again.
    """

    reuse: Amount
    at: int
    refresh: int

    def select(
        self, tokens: TokenStates, patches: Tensor, earlier: Sequence[Frame | None], most: int
    ) -> Tensor:
        """Choose.

        Args:
            tokens: what would enter layer ``at``.
            patches: what each visual token looks at. Shape (B, cameras, tokens, numbers), in
                [-1, 1].
            earlier: what was kept, by row; None where there is nothing to reuse.
            most: how many may be reused.

        Returns:
            Those that are reused. Shape (B, V), bool.
        """
        ...

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """Operations that choosing takes [FLOP]."""
        ...
