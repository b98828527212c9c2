"""Control: other random layers run for every chunk. What any router has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vla_policy.efficiency.layers import Moment
from vla_policy.efficiency.method import Amount
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class RandomGates:
    """Runs as many layers for every observation, whatever it shows.

    Attributes:
        keep: layers that run.
    """

    name: ClassVar[str] = "random_gates"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset()
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
        opened = []
        for row in range(len(tokens.hidden)):
            known = moments[row] if row < len(moments) else Moment(0, row)
            rng = np.random.default_rng([known.seed, known.sequence, layers])
            opened.append(frozenset(rng.permutation(layers)[:keep].tolist()))
        return opened

    def overhead(self, config: ModelConfig) -> float:
        """None."""
        return 0.0
