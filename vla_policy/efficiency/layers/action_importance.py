"""Layers ranked by what the robot would do without them.

EfficientVLA's Eq. 1 (``importance.py``) asks how far a layer turns its tokens, and removes all at
once. But a layer may turn much and matter little, and two that make up for each other both look
dispensable until one is gone. Here layers go one after the other: each time the one without which
the chunk changes least, from the same noise, now that the others are gone. Greedy removal by the
effect on the output is common where language models are pruned (e.g. SLEB, arXiv 2402.09025, by
perplexity); here the output is the action.

With L layers that takes L (L + 1) / 2 - 1 walks over the calibration data, not one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vla_policy.efficiency.method import CALIBRATION, Amount
from vla_policy.errors import PolicyError
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.plan import FullCompute, TokenStates

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActionImportance:
    """Removes the layers without which the chunk changes least, one after the other.

    Attributes:
        keep: layers that run.
        steps: denoising steps of the chunks that are compared; few do, as all have the same noise.
        first: share of the chunk that counts, from its start on, which is what is played before
            the next one takes over.
    """

    name: ClassVar[str] = "action_importance"
    knob: ClassVar[str] = "language_layers"
    requires: ClassVar[frozenset[str]] = frozenset({CALIBRATION})
    conflicts: ClassVar[frozenset[str]] = frozenset()
    keep: Amount
    steps: int = 1
    first: float = 0.5

    def rank(self, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> tuple[int, ...]:
        """All layers, in the order in which they were removed.

        Raises:
            PolicyError: nothing to measure on, no step, or no part of a chunk.
        """
        if not inputs:
            raise PolicyError(self.name, got="no observations", expected="at least one")
        if self.steps < 1:
            raise PolicyError(f"{self.name}: steps", got=self.steps, expected="at least 1")
        if not 0.0 < self.first <= 1.0:
            raise PolicyError(
                f"{self.name}: first", got=self.first, expected="a share above 0, up to 1"
            )
        chunks = _Chunks(network, inputs, self.steps, self.first)
        full = chunks.without(())
        gone: list[int] = []
        left = list(range(network.config.language.layers))
        while len(left) > 1:
            changes = {layer: _change(chunks.without((*gone, layer)), full) for layer in left}
            gone.append(min(left, key=lambda layer: changes[layer]))
            left.remove(gone[-1])
            _LOG.info(
                "%s: without layer %d chunks are %.3f standard deviations off; %d layers left",
                self.name, gone[-1], changes[gone[-1]], len(left),
            )  # fmt: skip
        return (*gone, *left)


class _Chunks:
    """Chunks of the same observations and noise with some layers gone.

    Args:
        network: whose.
        inputs: the observations.
        steps: denoising steps.
        first: share of the chunk that is looked at.
    """

    def __init__(
        self, network: VlaNetwork, inputs: Sequence[NetworkInputs], steps: int, first: float
    ) -> None:
        self.network, self.inputs, self.steps = network, inputs, steps
        horizon = network.config.horizon
        self.looked_at = max(round(first * horizon), 1)
        generator = torch.Generator().manual_seed(0)
        self.noise = [
            torch.randn(len(batch.text), horizon, network.head.action_size, generator=generator).to(
                batch.state
            )
            for batch in inputs
        ]
        with torch.inference_mode():
            self.visual = [network.see(batch.images) for batch in inputs]

    @torch.inference_mode()
    def without(self, gone: Iterable[int]) -> Tensor:
        """Normalised actions, all observations below each other. Shape (N, looked at, action)."""
        plan = _Without(frozenset(gone), self.steps)
        chunks = []
        for batch, visual, noise in zip(self.inputs, self.visual, self.noise, strict=True):
            told = self.network.think(visual, batch.text, batch.text_mask, batch.state, plan)
            chunk, _ = self.network.head.sample(noise, told.tokens, plan)
            chunks.append(chunk[:, : self.looked_at])
        return torch.cat(chunks).double()


class _Without(FullCompute):
    """Everything but some layers, and few denoising steps."""

    def __init__(self, gone: frozenset[int], steps: int) -> None:
        self.gone, self.steps = gone, steps

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool:
        """Unless it is gone."""
        return layer not in self.gone

    def head_steps(self, steps: int) -> int:
        """Few."""
        return min(self.steps, steps)


def _change(chunks: Tensor, full: Tensor) -> float:
    """Root mean square within each chunk, mean over chunks, so that none drowns the others."""
    return float((chunks - full).square().mean(dim=(1, 2)).sqrt().mean())
