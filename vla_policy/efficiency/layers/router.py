"""ActDistill's router at inference.

ActDistill, arXiv 2511.18082: a gate for each layer, computed once a control step; a layer runs iff
its gate is at least 0.5. Two things are ours:

- The threshold is not 0.5 but the quantile of the scores on calibration data at which the wanted
  number of layers runs on average. So the budget can be moved while the robot runs, and rounding of
  the weights or a budget that training did not quite reach changes nothing of what a chunk costs.
- Hysteresis: a layer that ran for the chunk before stops only well below the threshold, and one
  that did not starts only well above. The paper's router has no memory of time, and flickers where
  a score lies near the threshold. What ran is read off the chunk before, so a recorded chunk can be
  computed again from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vla_policy.efficiency.layers import Moment
from vla_policy.efficiency.layers.scores import measured_scores, overhead, scores
from vla_policy.efficiency.method import CALIBRATION, ROUTER, Amount
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import TokenStates


@dataclass(frozen=True)
class LayerRouter:
    """Runs the layers whose score is above a threshold, and always the one with the highest.

    Attributes:
        keep: layers that run on average.
        hysteresis: how far beyond the threshold a score must go to change what runs [logit].
    """

    name: ClassVar[str] = "layer_router"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset({CALIBRATION, ROUTER})
    conflicts: ClassVar[frozenset[str]] = frozenset()
    varies: ClassVar[bool] = True
    keep: Amount
    hysteresis: float = 0.1

    def fit(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[float, ...]:
        """The score that k of all layers exceed on average, for each k."""
        measured = measured_scores(network, inputs)
        observations, layers = measured.shape
        falling = measured.flatten().sort(descending=True).values.double()
        # Between the last score that is in and the first that is out.
        edges = (observations * k for k in range(1, layers))
        return tuple(float((falling[edge - 1] + falling[edge]) / 2) for edge in edges)

    def open(
        self,
        tokens: TokenStates,
        keep: int,
        layers: int,
        thresholds: Sequence[float],
        moments: Sequence[Moment],
    ) -> Sequence[frozenset[int]]:
        """See :meth:`vla_policy.efficiency.layers.RoutingMethod.open`."""
        rows, threshold = scores(tokens).tolist(), thresholds[keep - 1]
        before = [moment.ran for moment in moments] + [None] * (len(rows) - len(moments))
        return [self._above(*each, threshold) for each in zip(rows, before, strict=True)]

    def _above(
        self, row: Sequence[float], ran: frozenset[int] | None, threshold: float
    ) -> frozenset[int]:
        """Layers whose score is above the threshold by as much as it must be now."""
        stays, starts = (0.0, 0.0) if ran is None else (-self.hysteresis, self.hysteresis)
        highest = max(range(len(row)), key=row.__getitem__)
        return frozenset(
            layer
            for layer, score in enumerate(row)
            if layer == highest or score - threshold >= (stays if ran and layer in ran else starts)
        )

    def overhead(self, config: ModelConfig) -> float:
        """Of the router [FLOP]."""
        return overhead(config)
