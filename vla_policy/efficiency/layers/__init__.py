"""Does this language layer run? The budget says how many do.

Methods that rank layers answer once for all observations, methods that route anew for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vla_policy.efficiency.method import Amount, Method
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import TokenStates


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


@dataclass(frozen=True)
class Moment:
    """Where in its episode a row stands.

    Attributes:
        seed, sequence: of the chunk, so that what is random can be drawn again.
        ran: layers that ran for the chunk before, or None at the start.
    """

    seed: int
    sequence: int
    ran: frozenset[int] | None = None


@runtime_checkable
class RoutingMethod(Method, Protocol):
    """Chooses layers for each observation by itself, before the first one.

    Attributes:
        keep: layers that run unless the budget is changed; on average, where a method is free to
            run more for one observation than for another.
        varies: whether it is.
    """

    keep: Amount

    @property
    def varies(self) -> bool:
        """See the class."""
        ...

    def fit(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[float, ...]:
        """Thresholds by the number of layers that shall run, 1 to layers - 1; empty for none.

        Args:
            network: the policy's.
            inputs: what to calibrate on; may be empty for methods that do not require it.
        """
        ...

    def open(
        self,
        tokens: TokenStates,
        keep: int,
        layers: int,
        thresholds: Sequence[float],
        moments: Sequence[Moment],
    ) -> Sequence[frozenset[int]]:
        """Layers that run for each row of the batch; plain numbers, as the host launches them.

        Args:
            tokens: before the first layer.
            keep: how many shall run, fewer than there are.
            layers: how many there are.
            thresholds: as :meth:`fit` gave them.
            moments: of the rows; may be shorter than the batch outside of episodes.
        """
        ...

    def overhead(self, config: ModelConfig) -> float:
        """Operations that choosing takes [FLOP]."""
        ...
