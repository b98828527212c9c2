"""MoLe-VLA's rule: the k layers with the highest scores run, always k.

MoLe-VLA: Dynamic Layer-skipping Vision Language Action Model via Mixture-of-Layers, arXiv
2503.20384, section 3.2: a router chooses k of the layers for each input. Only the rule is theirs
here: the router sees what ActDistill's sees and not their spatial-temporal features, so that the
two rules can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vla_policy.efficiency.layers import Moment
from vla_policy.efficiency.layers.scores import overhead, scores
from vla_policy.efficiency.method import ROUTER, Amount
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class TopKRouter:
    """Runs as many layers for every observation, but not the same.

    Attributes:
        keep: layers that run.
    """

    name: ClassVar[str] = "top_k_router"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset({ROUTER})
    conflicts: ClassVar[frozenset[str]] = frozenset()
    varies: ClassVar[bool] = False
    keep: Amount

    def fit(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[float, ...]:
        """None are needed."""
        return ()

    def open(
        self,
        tokens: TokenStates,
        keep: int,
        layers: int,
        thresholds: Sequence[float],
        moments: Sequence[Moment],
    ) -> Sequence[frozenset[int]]:
        """See :meth:`vla_policy.efficiency.layers.RoutingMethod.open`."""
        return [
            frozenset(sorted(range(layers), key=row.__getitem__, reverse=True)[:keep])
            for row in scores(tokens).tolist()
        ]

    def overhead(self, config: ModelConfig) -> float:
        """Of the router [FLOP]."""
        return overhead(config)


def top(logits: Tensor, keep: int) -> Tensor:
    """The ``keep`` highest of each row of (B, layers); bool, same shape."""
    chosen = logits.argsort(dim=1, descending=True, stable=True)[:, :keep]
    return torch.zeros_like(logits, dtype=torch.bool).scatter(1, chosen, True)
