"""Which layers run in training: hard gates, through which a gradient passes straight.

The network asks a plan as at inference. What is answered is 0 or 1, so that training sees what
inference will; the gradient is that of the soft gate (straight-through, arXiv 1308.3432). The
release scales the whole residual stream by the soft gate instead, and only in training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from vla_distill.training.thinning import ThinTokens
from vla_policy.efficiency.layers.top_k import top
from vla_policy.efficiency.method import Method
from vla_policy.efficiency.registry import METHODS
from vla_policy.errors import PolicyError
from vla_policy.model.plan import FullCompute, TokenStates


@dataclass(frozen=True)
class Draw:
    """How gates are drawn in one step.

    Attributes:
        layers: how many there are.
        budget: share of them that shall run now.
        noise: scale of the noise on the scores [logit].
        generator: of noise and chance.
        settled: whether the routes stand: closed layers are not computed, and no gradient passes
            through a gate.
    """

    layers: int
    budget: float
    noise: float
    generator: torch.Generator
    settled: bool = False

    @property
    def keep(self) -> int:
        """The budget as a count."""
        return min(max(1, round(self.budget * self.layers)), self.layers)

    def uniform(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Numbers in (0, 1)."""
        drawn = torch.rand(shape, generator=self.generator, device=device)
        return drawn.clamp(1e-6, 1.0 - 1e-6)


class Gates(FullCompute):
    """The plan of one forward pass in training.

    Attributes:
        method: name of the method that chooses at inference.
        routed: whether the network needs a router.
        falls: whether the budget may fall in the course of training.
        values: 0 or 1 by row and layer. Shape (B, layers), float32; None before the first layer.
        logits: the router's scores, without noise. Same shape, or None.
        tokens: which visual tokens go on; None for all.
    """

    method: ClassVar[str]
    routed: ClassVar[bool] = False
    falls: ClassVar[bool] = True
    tokens: ThinTokens | None = None

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.values: Tensor | None = None
        self.logits: Tensor | None = None

    def select_tokens(self, layer: int, tokens: TokenStates) -> Tensor | None:
        """As drawn for the batch."""
        return None if self.tokens is None else self.tokens.select_tokens(layer, tokens)

    @classmethod
    def at_inference(cls, budget: float) -> Method:
        """The method with its options."""
        return METHODS[cls.method](keep=budget)  # type: ignore[call-arg]


class ChosenGates(Gates, ABC):
    """Gates that are chosen for each row, before the first layer."""

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool | Tensor:
        """The gate of each row."""
        if layer == 0:
            self.values = self.choose(tokens)
        assert self.values is not None, "asked from the first layer on"
        gates = self.values[:, layer]
        return gates > 0 if self.draw.settled else gates

    @abstractmethod
    def choose(self, tokens: TokenStates) -> Tensor:
        """Gates of all layers. Shape (B, layers), float32."""

    def _scores(self, tokens: TokenStates) -> Tensor:
        """The router's, which learns from what it sees but does not change it."""
        if tokens.router is None:
            raise PolicyError("gates", got="a network without a router", expected="one with it")
        return tokens.router(replace(tokens, hidden=tokens.hidden.detach()))


class RouterGates(ChosenGates):
    """ActDistill: each layer runs iff its score is positive.

    Logistic noise (binary concrete, arXiv 1611.00712) lets a layer that is nearly closed be tried
    with some samples and not with others, so that the budget is met by many small changes rather
    than by all layers closing at once. The paper has none.
    """

    method = "layer_router"
    routed = True

    def choose(self, tokens: TokenStates) -> Tensor:
        """See :meth:`ChosenGates.choose`."""
        self.logits = logits = self._scores(tokens)
        if self.draw.settled:  # as at inference, with the batch in the place of the calibration
            logits = logits.detach()
            edge = logits.quantile(1.0 - self.draw.budget, interpolation="lower")
            return (logits > edge).float().scatter(1, logits.argmax(1, keepdim=True), 1.0)
        if self.draw.noise:
            chance = self.draw.uniform(tuple(logits.shape), logits.device)
            logits = logits + self.draw.noise * chance.logit()
        return straight_through((logits >= 0).float(), logits.sigmoid())


class TopKGates(ChosenGates):
    """MoLe-VLA's rule: the k best by softmax; with Gumbel noise, which it has too."""

    method = "top_k_router"
    routed = True

    def choose(self, tokens: TokenStates) -> Tensor:
        """See :meth:`ChosenGates.choose`."""
        self.logits = logits = self._scores(tokens)
        keep = self.draw.keep
        if self.draw.settled:
            return top(logits.detach(), keep).float()
        if self.draw.noise:
            chance = self.draw.uniform(tuple(logits.shape), logits.device)
            logits = logits - self.draw.noise * (-chance.log()).log()
        return straight_through(top(logits, keep).float(), keep * logits.softmax(-1))


class RandomGates(ChosenGates):
    """Control: any k layers, others for each row and step."""

    method = "random_gates"

    def choose(self, tokens: TokenStates) -> Tensor:
        """See :meth:`ChosenGates.choose`."""
        shape = (len(tokens.hidden), self.draw.layers)
        return top(self.draw.uniform(shape, tokens.hidden.device), self.draw.keep).float()


class DeepestGates(Gates):
    """Control: the deepest layers are dropped from the first step on, and not computed."""

    method = "deepest_layers"
    falls = False

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool:
        """Whether it is shallow enough."""
        return layer < self.draw.keep


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of ``hard``, to the bit, with the gradient of ``soft``."""
    return hard + (soft - soft.detach())


GATES: dict[str, type[Gates]] = {
    "router": RouterGates,
    "top_k": TopKGates,
    "random": RandomGates,
    "deepest": DeepestGates,
}
"""The class of each, by the name that configurations use."""
