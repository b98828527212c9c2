"""Layers go in the order in which the policy was trained to do without them.

``thin_order`` of a training (``vla_distill/training/thinning.py``) makes the first few layers of an
order do the work of all; a ranking that is measured afterwards, one layer at a time, need not find
those sets again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vla_policy.efficiency.method import NESTED, Amount
from vla_policy.model.network import NetworkInputs, VlaNetwork


@dataclass(frozen=True)
class NestedLayers:
    """Keeps the first layers of the policy's own order.

    Attributes:
        keep: layers that run.
    """

    name: ClassVar[str] = "nested_layers"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset({NESTED})
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount

    def rank(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[int, ...]:
        """All layers, the last of the order first."""
        return network.config.layer_order[::-1]
