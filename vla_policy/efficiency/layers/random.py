"""Control: random layers go. What any ranking has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vla_policy.efficiency.method import Amount
from vla_policy.model.network import NetworkInputs, VlaNetwork


@dataclass(frozen=True)
class RandomLayers:
    """Removes layers in an order drawn once.

    Attributes:
        keep: layers that run.
        seed: of the order.
    """

    name: ClassVar[str] = "random_layers"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    seed: int = 0

    def rank(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[int, ...]:
        """All layers, shuffled."""
        order = np.random.default_rng(self.seed).permutation(network.config.language.layers)
        return tuple(int(layer) for layer in order)
