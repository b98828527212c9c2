"""FastV: the visual tokens that the last token attends to most.

An Image is Worth 1/2 Tokens After Layer 2: Plug-and-Play Inference Acceleration for Large
Vision-Language Models, arXiv 2403.06764, section 4.1; K is ``at``. The paper ranks by the attention
from all other tokens; its code, followed here, takes the last token's, averaged over heads. The
code reads the attention of layer K - 1 after it ran; here it is what layer K would pay, so that
no attention kernel has to hand out its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vla_policy.efficiency.method import Amount
from vla_policy.efficiency.tokens import Draws, attention
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class FastV:
    """Keeps what the last token looks at.

    Attributes:
        keep: visual tokens that go on.
        at: the layer before which the others are dropped.
    """

    name: ClassVar[str] = "fastv"
    knob: ClassVar[str] = "visual_tokens"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    at: int = 2

    def select(self, tokens: TokenStates, keep: int, draws: Draws) -> Tensor:
        """See :meth:`vla_policy.efficiency.tokens.TokenMethod.select`."""
        attended = attention.attention_to_visual(tokens, self.at, attention.LAST)
        order = attended.argsort(dim=1, descending=True, stable=True)
        return order[:, :keep].sort(dim=1).values

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """Attention of one query [FLOP]."""
        return attention.overhead(config, 1, text_tokens)
