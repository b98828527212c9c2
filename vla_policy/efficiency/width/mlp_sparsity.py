"""The fourth part of EfficientVLA: a quarter of the MLP channels of every language layer goes.

EfficientVLA (arXiv 2506.10100, section 4.1) prunes 25 % of the MLPs of the layers it keeps with
PruneNet: You Only Prune Once: Designing Calibration-Free Model Compression with Policy Learning,
arXiv 2501.15296. Without it the paper's 4.86 of 7.63 billion parameters do not add up
(docs/results/flops.md).

Where this differs: PruneNet trains a policy that picks rows of the first MLP matrices so that the
singular values stay close, and sees no data. Here a channel counts as much as it adds to the
residual stream on the calibration data, root mean square of its activation times the norm of its
column in ``down_proj`` (as in Wanda, arXiv 2306.11695, by whole channels). That is measured, not
learned, and EfficientVLA needs calibration data for its layers anyway. Padding does not count, as
in layers/importance.py. ``refit`` then solves for the ``down_proj`` of the channels left over that
comes closest to the old output (least squares, ridge); neither paper does that, and it is off
unless asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from vla_policy.efficiency.method import CALIBRATION
from vla_policy.errors import PolicyError
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import Plan

RIDGE = 1e-4
"""Of the refit, as a share of the mean square activation."""


@dataclass(frozen=True)
class MlpSparsity:
    """Removes the MLP channels that add least.

    Attributes:
        share: of the channels that goes, the same in every language layer.
        refit: whether the others are adjusted to make up for them.
    """

    name: ClassVar[str] = "mlp_sparsity"
    knob: ClassVar[str] = "mlp_width"
    requires: ClassVar[frozenset[str]] = frozenset({CALIBRATION})
    conflicts: ClassVar[frozenset[str]] = frozenset()
    share: float = 0.25
    refit: bool = False

    def narrowed(self, config: ModelConfig) -> ModelConfig:
        """The configuration with narrower MLPs.

        Raises:
            PolicyError: the share is not between 0 and 1.
        """
        if not 0.0 < self.share < 1.0:
            raise PolicyError("mlp_sparsity: share", got=self.share, expected="between 0 and 1")
        width = config.language.mlp_width
        left = width - round(self.share * width)
        return replace(config, language=replace(config.language, mlp_width=max(left, 1)))

    @torch.no_grad()
    def narrow(
        self, network: VlaNetwork, inputs: Sequence[NetworkInputs], plan: Plan
    ) -> VlaNetwork:
        """See :meth:`vla_policy.efficiency.width.WidthMethod.narrow`."""
        config = self.narrowed(network.config)
        products = _channel_products(network, inputs, plan)
        weights = dict(network.state_dict())
        for index in range(network.config.language.layers):
            prefix = f"language.layers.{index}.mlp."
            down = weights[f"{prefix}down_proj.weight"]
            product = products[index]
            importance = product.diagonal().sqrt() * down.double().norm(dim=0)
            left = importance.argsort(descending=True, stable=True)[: config.language.mlp_width]
            left = left.sort().values
            for name in ("gate_proj", "up_proj"):
                weights[f"{prefix}{name}.weight"] = weights[f"{prefix}{name}.weight"][left]
            fitted = _refitted(down, product, left) if self.refit else down[:, left]
            weights[f"{prefix}down_proj.weight"] = fitted
        with torch.device("meta"):  # 7 B random numbers take minutes, and float32
            narrow = type(network)(config)
        narrow.load_state_dict(weights, assign=True)
        for name, buffer in network.named_buffers():  # of which the state lacks some
            module, _, own = name.rpartition(".")
            setattr(narrow.get_submodule(module), own, buffer)
        return narrow.eval()


def _channel_products(
    network: VlaNetwork, inputs: Sequence[NetworkInputs], plan: Plan
) -> list[Tensor]:
    """Sums over tokens, without padding, of the products of each two channels.

    Of layers that never ran a unit matrix, which leaves the norm of the columns to decide.
    Shapes (mlp_width, mlp_width).
    """
    width = network.config.language.mlp_width
    layers = cast(Any, network.language.layers)
    device = next(network.parameters()).device
    sums = [torch.zeros(width, width, dtype=torch.float64, device=device) for _ in layers]
    present = torch.empty(0)

    def look(_: object, __: object, given: dict[str, Tensor]) -> None:
        nonlocal present
        # Of (B, 1, queries, keys): the last token attends to all but padding.
        present = given["attention_mask"][:, 0, -1] == 0

    handles = []
    for index, layer in enumerate(layers):

        def add(_: object, given: tuple[Tensor, ...], index: int = index) -> None:
            # A word written after the prompt is one query to many keys; it is the last of them.
            channels = given[0][present[:, -given[0].shape[1] :]].double()
            sums[index] += channels.T @ channels

        handles.append(layer.register_forward_pre_hook(look, with_kwargs=True))
        handles.append(layer.mlp.down_proj.register_forward_pre_hook(add))
    try:
        for batch in inputs:
            visual = network.see(batch.images)
            network.think(visual, batch.text, batch.text_mask, batch.state, plan)
    finally:
        for handle in handles:
            handle.remove()
    return [each if each.any() else torch.eye(width, device=device).double() for each in sums]


def _refitted(down: Tensor, product: Tensor, left: Tensor) -> Tensor:
    """The columns of ``down`` (width, channels) for the channels left, by ridge regression.

    Minimises the squared error of the output over the calibration tokens.
    """
    inner = product[left][:, left]
    ridge = (
        RIDGE
        * inner.diagonal().mean()
        * torch.eye(len(left), device=inner.device, dtype=inner.dtype)
    )
    wanted = down.double() @ product[:, left] + down.double()[:, left] @ ridge
    return torch.linalg.solve(inner + ridge, wanted.T).T.to(down.dtype).contiguous()
