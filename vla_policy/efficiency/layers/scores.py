"""What the router of a network says, for methods that choose by it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vla_policy.errors import PolicyError
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import FullCompute, TokenStates


def scores(tokens: TokenStates) -> Tensor:
    """Logits of all layers. Shape (B, layers), float32.

    Raises:
        PolicyError: the network has no router.
    """
    if tokens.router is None:
        raise PolicyError(
            "router", got="a network without one", expected="one that vla distill-policy made"
        )
    return tokens.router(tokens)


@torch.no_grad()
def measured_scores(network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> Tensor:
    """Logits on observations. Shape (N, layers), float32.

    Raises:
        PolicyError: nothing to measure on, or the network has no router.
    """
    if not inputs:
        raise PolicyError("router thresholds", got="no observations", expected="at least one")
    listener = _Listener()
    for batch in inputs:
        visual = network.see(batch.images)
        network.think(visual, batch.text, batch.text_mask, batch.state, listener)
    return torch.cat(listener.heard)


def overhead(config: ModelConfig) -> float:
    """Operations of the router [FLOP]."""
    if config.router is None:
        return 0.0
    return 2.0 * config.router.width * (5 * config.language.width + config.language.layers)


class _Listener(FullCompute):
    """Runs no layer: the router asks before the first."""

    def __init__(self) -> None:
        self.heard: list[Tensor] = []

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool:
        """No."""
        if layer == 0:
            self.heard.append(scores(tokens))
        return False
