"""How wide are the MLPs? Decided once, when the policy is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vla_policy.efficiency.method import Method
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import Plan


class WidthMethod(Method, Protocol):
    """Makes a narrower network of a network."""

    def narrowed(self, config: ModelConfig) -> ModelConfig:
        """The sizes that are left."""
        ...

    def narrow(
        self, network: VlaNetwork, inputs: Sequence[NetworkInputs], plan: Plan
    ) -> VlaNetwork:
        """A new network of those sizes and the same types; the given one stays as it is.

        Both may share the weights that do not change.

        Args:
            network: what to narrow.
            inputs: what to calibrate on.
            plan: what runs, so that the channels are judged on what they will see.
        """
        ...
