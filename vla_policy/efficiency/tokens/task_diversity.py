"""EfficientVLA's choice of visual tokens: by task first, then by task and by diversity.

EfficientVLA: Training-Free Acceleration and Compression for Vision-Language-Action Models,
arXiv 2506.10100, section 3.3, Eq. 2-5; from layer 2 on.

Where our model changes the method: in CogACT the image comes first, so that instruction tokens
attend to visual tokens in the model itself, and their attention maps are at hand. Here the
instruction comes **before** the visual tokens (vla_policy/model/language.py), and under the causal
mask no instruction token ever looks at one. So the attention of layer ``at`` is computed for the
scoring alone, with the mask lifted for the instruction's queries, which were never trained to look
ahead; and the cognition token, the last one, which sees everything and which the action hangs on,
asks too. ``cognition_only`` leaves the instruction's queries out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vla_policy.efficiency.method import Amount
from vla_policy.efficiency.tokens import Draws, attention
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class TaskDiversity:
    """Keeps what the task looks at, and what is least like it.

    Attributes:
        keep: visual tokens that go on.
        at: the layer before which the others are dropped.
        key: tokens that are chosen first, by relevance (V_key).
        alpha: share of the rest that is chosen by relevance; the others by diversity.
        cognition_only: whether only the cognition token asks, not the instruction.
    """

    name: ClassVar[str] = "task_diversity"
    knob: ClassVar[str] = "visual_tokens"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    at: int = 2
    key: int = 4
    alpha: float = 0.5
    cognition_only: bool = False

    def select(self, tokens: TokenStates, keep: int, draws: Draws) -> Tensor:
        """See :meth:`vla_policy.efficiency.tokens.TokenMethod.select`."""
        words = slice(tokens.text.start, min(tokens.text.stop, tokens.hidden.shape[1] - 1))
        asking = [attention.LAST] if self.cognition_only else [words, attention.LAST]
        relevance = attention.attention_to_visual(tokens, self.at, *asking)  # r_i     Eq. 2
        low, high = relevance.aminmax(dim=1, keepdim=True)
        score = (relevance - low) / (high - low).clamp(min=1e-12)  # s_i               Eq. 3
        order = score.argsort(dim=1, descending=True, stable=True)
        key = order[:, : min(self.key, keep)]  # V_key
        by_task = int(self.alpha * (keep - key.shape[1]))
        chosen = order[:, : key.shape[1] + by_task]  # and V_task                      Eq. 4
        diversity = _unlike(tokens.hidden[:, tokens.visual], key)  # 1 - max cos       Eq. 5
        diversity = diversity.scatter(1, chosen, -torch.inf)
        other = diversity.argsort(dim=1, descending=True, stable=True)
        rest = other[:, : keep - chosen.shape[1]]  # V_div
        return torch.cat([chosen, rest], dim=1).sort(dim=1).values

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """Attention of the queries, and cosines with the key tokens [FLOP]."""
        queries = 1 if self.cognition_only else text_tokens + 1
        cosines = 2.0 * config.visual_tokens * self.key * config.language.width
        return attention.overhead(config, queries, text_tokens) + cosines


def _unlike(visual: Tensor, key: Tensor) -> Tensor:
    """1 minus the largest cosine with a key token, for (B, V, width) and (B, K). Shape (B, V)."""
    unit = torch.nn.functional.normalize(visual.float(), dim=-1)
    keys = unit.gather(1, key[..., None].expand(-1, -1, unit.shape[-1]))
    return 1.0 - (unit @ keys.transpose(1, 2)).amax(-1)
