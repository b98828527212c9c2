"""EfficientVLA's layer importance and one-shot removal.

EfficientVLA: Training-Free Acceleration and Compression for Vision-Language-Action Models,
arXiv 2506.10100, section 3.2, Eq. 1. A layer matters as much as it turns the direction of its
input. The least important are removed together, wherever they lie; there is no second look.

The paper does not give the size of its calibration set, nor say whether padding counts: here it
does not, so that a row weighs the same in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vla_policy.efficiency.method import CALIBRATION, Amount
from vla_policy.errors import PolicyError
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import FullCompute, TokenStates


@dataclass(frozen=True)
class LayerImportance:
    """Removes the layers that change the direction of their tokens least.

    Attributes:
        keep: layers that run.
    """

    name: ClassVar[str] = "layer_importance"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset({CALIBRATION})
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount

    def rank(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[int, ...]:
        """All layers, the least important first."""
        importance = layer_importance(network, inputs)
        return tuple(sorted(range(len(importance)), key=lambda layer: importance[layer]))


@torch.no_grad()
def layer_importance(network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> list[float]:
    """Eq. 1 for every layer; 0 is a layer that turns nothing, 2 one that turns all around.

    Raises:
        PolicyError: nothing to measure on.
    """
    if not inputs:
        raise PolicyError("layer importance", got="no observations", expected="at least one")
    watch = _Watch(len(network.language.layers))
    handles = [
        layer.register_forward_hook(watch.hook(index))
        for index, layer in enumerate(network.language.layers)
    ]
    try:
        for batch in inputs:
            visual = network.see(batch.images)
            network.think(visual, batch.text, batch.text_mask, batch.state, watch)
    finally:
        for handle in handles:
            handle.remove()
    # I(l) = 1 - mean_ij cos(x_l, x_l+1)                                                   Eq. 1
    return [1.0 - total / count for total, count in zip(watch.cosines, watch.tokens, strict=True)]


class _Watch(FullCompute):
    """Sums up the cosines between what goes into a layer and what comes out."""

    def __init__(self, layers: int) -> None:
        self.cosines = [0.0] * layers
        self.tokens = [0] * layers
        self._present: Tensor | None = None

    def select_tokens(self, layer: int, tokens: TokenStates) -> Tensor | None:
        """All; but note which are padding."""
        self._present = tokens.present
        return None

    def hook(self, layer: int) -> Any:
        def add(_: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            present = self._present
            assert present is not None, "asked before every layer"
            if present.shape != output.shape[:2]:  # words written after the prompt: all there
                present = torch.ones_like(output[..., 0], dtype=torch.bool)
            before, after = inputs[0][present].double(), output[present].double()
            cosine = torch.nn.functional.cosine_similarity(before, after, dim=-1)
            self.cosines[layer] += float(cosine.sum())
            self.tokens[layer] += len(cosine)

        return add
