"""Does this language layer run? Methods that rank layers; the budget says how many run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vla_policy.efficiency.method import Amount, Method
from vla_policy.model.network import NetworkInputs, VlaNetwork


class LayerMethod(Method, Protocol):
    """Ranks layers once, when a policy is accelerated; the ranking travels with the policy.

    Attributes:
        keep: layers that run unless the budget is changed.
    """

    keep: Amount

    def rank(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[int, ...]:
        """All layers, the first to be removed first.

        Args:
            network: the policy's.
            inputs: what to calibrate on; may be empty for methods that do not require it.
        """
        ...
