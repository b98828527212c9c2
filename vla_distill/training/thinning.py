"""Training with fewer layers and visual tokens, so that a policy bears to be cut afterwards.

Structured dropout. Layers go as in LayerDrop (arXiv 1909.11556), for each sample by itself, or as
in nested networks (arXiv 1812.08928, by depth): in an order that is given, so many for the batch.
The second is for a policy whose order of importance is known: the few layers that a cut keeps have
been trained together, and those that do not run cost nothing. Visual tokens go by the method that
chooses them at inference, as many as are drawn for the batch. A policy of a few million weights
that was always trained in full has no redundancy to give away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vla_distill.training.config import TrainConfig
from vla_policy.efficiency.tokens.task_diversity import TaskDiversity
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import FullCompute, TokenStates


class ThinTokens(FullCompute):
    """So many visual tokens go on.

    Args:
        keep: how many.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._method = TaskDiversity(keep)

    @torch.no_grad()
    def select_tokens(self, layer: int, tokens: TokenStates) -> Tensor | None:
        """What the method chooses, at its layer."""
        if layer != self._method.at or self.keep >= tokens.visual.stop - tokens.visual.start:
            return None
        return self._method.select(tokens, self.keep, ())


class Thin(ThinTokens):
    """Layers are left out too.

    Args:
        keep: visual tokens that go on.
        open_: 1 where a layer runs for a sample, else 0. Shape (B, layers), float32: floats, so
            that no process waits for the gradient of a layer that another one computes.
    """

    def __init__(self, keep: int, open_: Tensor) -> None:
        super().__init__(keep)
        self._open = open_

    def runs_layer(self, layer: int, tokens: TokenStates) -> Tensor:
        """As drawn."""
        return self._open[:, layer]


class Nested(ThinTokens):
    """Only some layers run, the same ones for all samples.

    Args:
        keep: visual tokens that go on.
        layers: that run.
    """

    def __init__(self, keep: int, layers: Sequence[int]) -> None:
        super().__init__(keep)
        self.layers = frozenset(layers)

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool:
        """If it is one of them."""
        return layer in self.layers


def draw_tokens(
    config: TrainConfig, model: ModelConfig, generator: torch.Generator
) -> ThinTokens | None:
    """Tokens of a batch; None if it is one of those that keep all."""
    if not _one(generator) < config.thin:
        return None
    share = config.thin_tokens ** _one(generator)
    if config.thin_whole and _one(generator) < config.thin_whole:
        share = 1.0
    return ThinTokens(max(1, round(share * model.visual_tokens)))


def draw_plan(
    config: TrainConfig, model: ModelConfig, batch: int, generator: torch.Generator
) -> FullCompute:
    """The plan of a batch of so many samples."""
    tokens = draw_tokens(config, model, generator)
    if tokens is None:
        return FullCompute()
    if config.thin_order:
        least, most = config.thin_least, len(config.thin_order)
        # Few layers more often than many, which differ less from all of them.
        count = least + int((most - least) * _one(generator) ** 2)
        return Nested(tokens.keep, config.thin_order[:count])
    drawn = torch.rand(batch, model.language.layers, generator=generator, device=generator.device)
    return Thin(tokens.keep, (drawn >= config.thin_layers).float())


def _one(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, device=generator.device))
