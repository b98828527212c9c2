"""Control: every so many-th visual token, as a coarser camera would see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vla_policy.efficiency.method import Amount
from vla_policy.efficiency.tokens import Draws
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class UniformTokens:
    """Keeps tokens at an even stride over all cameras.

    Attributes:
        keep: visual tokens that go on.
        at: the layer before which the others are dropped.
    """

    name: ClassVar[str] = "uniform_tokens"
    knob: ClassVar[str] = "visual_tokens"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    at: int = 2

    def select(self, tokens: TokenStates, keep: int, draws: Draws) -> Tensor:
        """See :meth:`vla_policy.efficiency.tokens.TokenMethod.select`."""
        count = tokens.visual.stop - tokens.visual.start
        place = torch.arange(keep, device=tokens.hidden.device)
        # The middle of each of ``keep`` equal stretches, in whole numbers.
        chosen = ((2 * place + 1) * count) // (2 * keep)
        return chosen.expand(len(tokens.hidden), -1)

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """None."""
        return 0.0
