"""Control: the deepest layers go, whatever they do.

What EfficientVLA's importance has to beat (it owes the comparison), and no weak rival: The
Unreasonable Ineffectiveness of the Deeper Layers, arXiv 2403.17887, whose "simple" form this is
with ``spare_last``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vla_policy.efficiency.method import Amount
from vla_policy.model.network import NetworkInputs, VlaNetwork


@dataclass(frozen=True)
class DeepestLayers:
    """Removes layers from the last one upwards.

    Attributes:
        keep: layers that run.
        spare_last: whether the last layer is the last to go.
    """

    name: ClassVar[str] = "deepest_layers"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    spare_last: bool = False

    def rank(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[int, ...]:
        """All layers, the deepest first."""
        ranking = list(reversed(range(network.config.language.layers)))
        if self.spare_last:
            ranking.append(ranking.pop(0))
        return tuple(ranking)
