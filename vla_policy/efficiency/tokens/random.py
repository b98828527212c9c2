"""Control: random visual tokens. What any choice has to beat.

EfficientVLA (arXiv 2506.10100, table 2) lists random dropping; how it draws is not said. Here every
chunk draws anew, from the episode's seed and the chunk's number, so that a chunk can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vla_policy.efficiency.method import Amount
from vla_policy.efficiency.tokens import Draws
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class RandomTokens:
    """Keeps any tokens.

    Attributes:
        keep: visual tokens that go on.
        at: the layer before which the others are dropped.
    """

    name: ClassVar[str] = "random_tokens"
    knob: ClassVar[str] = "visual_tokens"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    at: int = 2

    def select(self, tokens: TokenStates, keep: int, draws: Draws) -> Tensor:
        """See :meth:`vla_policy.efficiency.tokens.TokenMethod.select`."""
        count = tokens.visual.stop - tokens.visual.start
        batch = len(tokens.hidden)
        keys = [*draws, *[(0, 0)] * (batch - len(draws))]
        rows = [np.random.default_rng([*key, 3]).permutation(count)[:keep] for key in keys]
        return torch.from_numpy(np.sort(np.stack(rows), axis=1)).to(tokens.hidden.device)

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """None."""
        return 0.0
