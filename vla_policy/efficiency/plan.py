"""A recipe at work: answers the network's questions within a budget."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vla_policy.contract import ComputeReport, Memory
from vla_policy.efficiency.budget import Budget, Limits, full_budget
from vla_policy.efficiency.layers import LayerMethod, Moment, RoutingMethod
from vla_policy.efficiency.method import count_of
from vla_policy.efficiency.recipe import Recipe
from vla_policy.efficiency.reuse import ReuseMethod
from vla_policy.efficiency.reuse.frame import FrameReuse
from vla_policy.efficiency.steps import StepMethod, head_cache
from vla_policy.efficiency.tokens import Draws, TokenMethod
from vla_policy.errors import PolicyError
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import NetworkInputs
from vla_policy.model.plan import TokenStates
from vla_policy.model.token_reuse import TokenReuse


class RecipePlan:
    """Answers by the recipe; with the empty one and its budget untouched, everything runs.

    The head's two knobs can be set in any policy. Layers and tokens can only where the recipe has a
    method that says which ones. Tokens are reused only where there are memories to keep them in.

    Args:
        config: sizes of the network.
        recipe: calibrated, if it has a method that ranks layers.

    Raises:
        PolicyError: an option does not fit these sizes, or the recipe is not calibrated.
    """

    def __init__(self, config: ModelConfig, recipe: Recipe) -> None:
        self.recipe = recipe
        chooser: LayerMethod | RoutingMethod | None = recipe.method("language_layers")
        self._layers = chooser
        self._router = chooser if isinstance(chooser, RoutingMethod) else None
        self._tokens: TokenMethod | None = recipe.method("visual_tokens")
        self._reuse: ReuseMethod | None = recipe.method("reused_tokens")
        self._frames: FrameReuse | None = None
        self._patch = config.vision.patch
        self._draws: Draws = ()
        self._moments: tuple[Moment, ...] = ()
        self._open: list[bool | Tensor] = []
        layers, visual, steps = config.language.layers, config.visual_tokens, config.head.steps
        if self._router is not None:
            thresholds = layers - 1 if self._router.varies else 0
            if len(recipe.thresholds) != thresholds:
                raise PolicyError(
                    f"recipe {recipe.name}: thresholds of {self._router.name}",
                    got=len(recipe.thresholds),
                    expected=f"{thresholds} (vla accelerate measures them)",
                )
        elif self._layers is not None and len(recipe.ranking) != layers:
            raise PolicyError(
                f"recipe {recipe.name}: layers ranked for {self._layers.name}",
                got=len(recipe.ranking),
                expected=f"{layers} (vla accelerate ranks them)",
            )
        for method in (self._tokens, self._reuse):
            if method is not None and not 0 <= method.at < layers:
                raise PolicyError(
                    f"{method.name}: at", got=method.at, expected=f"0 to {layers - 1}"
                )
        self.limits: Limits = {
            "language_layers": (1 if self._layers else layers, layers),
            "visual_tokens": (1 if self._tokens else visual, visual),
            "head_cache_interval": (1, steps),
            "head_steps": (1, steps),
            "reused_tokens": (0, visual if self._reuse else 0),
        }
        self.default = Budget(
            count_of(self._layers, "keep", layers) if self._layers else layers,
            count_of(self._tokens, "keep", visual) if self._tokens else visual,
            _knob(recipe.method("head_cache_interval"), steps, 1),
            _knob(recipe.method("head_steps"), steps, steps),
            count_of(self._reuse, "reuse", visual) if self._reuse else 0,
        )
        self.budget = self.default

    @property
    def budget(self) -> Budget:
        """What a chunk may cost; what is set holds from the next inference on."""
        return self._budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        budget.check(self.limits)
        removed = self.limits["language_layers"][1] - budget.language_layers
        self._removed = frozenset(self.recipe.ranking[:removed])
        self._budget = budget

    @property
    def whole(self) -> Budget:
        """Everything; of a network that was taught to route, the layers that it was taught with."""
        whole = full_budget(self.limits)
        if self._router is None:
            return whole
        return replace(whole, language_layers=self.default.language_layers)

    def begin(self, memories: Sequence[Memory], inputs: NetworkInputs | None = None) -> RecipePlan:
        """See :meth:`vla_policy.model.plan.Plan.begin`."""
        plan = copy.copy(self)
        most = self._budget.reused_tokens
        if self._reuse is not None and most and memories and inputs is not None:
            plan._frames = FrameReuse(
                self._reuse, memories, inputs, self._patch, self._removed, most
            )
        plan._draws = tuple((memory.seed, memory.sequence) for memory in memories)
        plan._moments = tuple(map(_moment, memories))
        return plan

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool | Tensor:
        """Whether the ranking has spared it, or the router chose it before the first layer."""
        layers = self.limits["language_layers"][1]
        if self._router is None or self._budget.language_layers == layers:
            return layer not in self._removed
        if layer == 0:
            opened = self._router.open(
                tokens, self._budget.language_layers, layers, self.recipe.thresholds, self._moments
            )
            device = tokens.hidden.device
            self._open = [_for_rows([i in row for row in opened], device) for i in range(layers)]
        assert self._open, "asked from the first layer on"
        return self._open[layer]

    def select_tokens(self, layer: int, tokens: TokenStates) -> Tensor | None:
        """What the method chooses, at its layer, if there are more than the budget allows."""
        if self._tokens is None or layer != self._tokens.at:
            return None
        keep = self._budget.visual_tokens
        if keep >= tokens.visual.stop - tokens.visual.start:
            return None
        return self._tokens.select(tokens, keep, self._draws)

    def reuse_tokens(self, layer: int, tokens: TokenStates) -> TokenReuse | None:
        """What the method reuses of the episodes' frames, from its layer on."""
        if self._frames is None or self._reuse is None or layer != self._reuse.at:
            return None
        return self._frames.reuse(tokens)

    def head_steps(self, steps: int) -> int:
        """As the budget says."""
        return self._budget.head_steps

    def refreshes_step(self, step: int, steps: int) -> bool:
        """As the cache's interval says."""
        return head_cache.is_computed(step, steps, self._budget.head_cache_interval)

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """What choosing layers and tokens takes, if any are chosen [FLOP]."""
        total = 0.0
        if self._tokens is not None and self._budget.visual_tokens < config.visual_tokens:
            total += self._tokens.overhead(config, text_tokens)
        if self._reuse is not None and self._frames is not None and self._frames.chooses:
            total += self._reuse.overhead(config, text_tokens)
        if self._router is not None and self._budget.language_layers < config.language.layers:
            total += self._router.overhead(config)
        return total

    def can_have_made(self, report: ComputeReport) -> bool:
        """See :meth:`vla_policy.efficiency.budget.Adjustable.can_have_made`."""
        layers, whole = self._budget.language_layers, self.limits["language_layers"][1]
        free = self._router is not None and self._router.varies and layers < whole
        steps = self._budget.head_steps
        computed = sum(self.refreshes_step(step, steps) for step in range(steps))
        return (
            (free or len(report.layers_run) == layers)
            and report.visual_tokens[1] == self._budget.visual_tokens
            and report.head_steps == (steps, computed)
        )


def _for_rows(answers: list[bool], device: torch.device) -> bool | Tensor:
    """One answer where all rows have the same, else one each. Shape (B,)."""
    first = answers[0]
    return first if answers.count(first) == len(answers) else torch.tensor(answers, device=device)


def _moment(memory: Memory) -> Moment:
    before = memory.previous
    ran = None if before is None else frozenset(before.report.layers_run)
    return Moment(memory.seed, memory.sequence, ran)


def _knob(method: StepMethod | None, steps: int, default: int) -> int:
    return default if method is None else method.value(steps)
