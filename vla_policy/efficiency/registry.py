"""All methods by name."""

from __future__ import annotations

from typing import Any

from vla_policy.efficiency.layers.action_importance import ActionImportance
from vla_policy.efficiency.layers.deepest import DeepestLayers
from vla_policy.efficiency.layers.importance import LayerImportance
from vla_policy.efficiency.layers.nested import NestedLayers
from vla_policy.efficiency.layers.random import RandomLayers
from vla_policy.efficiency.layers.random_gates import RandomGates
from vla_policy.efficiency.layers.router import LayerRouter
from vla_policy.efficiency.layers.top_k import TopKRouter
from vla_policy.efficiency.method import Method
from vla_policy.efficiency.reuse.vla_cache import VlaCache
from vla_policy.efficiency.steps.few_steps import FewSteps
from vla_policy.efficiency.steps.head_cache import HeadCache
from vla_policy.efficiency.tokens.fastv import FastV
from vla_policy.efficiency.tokens.random import RandomTokens
from vla_policy.efficiency.tokens.task_diversity import TaskDiversity
from vla_policy.efficiency.tokens.uniform import UniformTokens
from vla_policy.efficiency.width.mlp_sparsity import MlpSparsity
from vla_policy.errors import PolicyError

_KINDS: tuple[Any, ...] = (
    LayerImportance, ActionImportance, NestedLayers, DeepestLayers, RandomLayers,
    LayerRouter, TopKRouter, RandomGates,
    TaskDiversity, FastV, RandomTokens, UniformTokens,
    VlaCache,
    MlpSparsity,
    HeadCache, FewSteps,
)  # fmt: skip

METHODS: dict[str, type[Method]] = {kind.name: kind for kind in _KINDS}
"""The class of each method, by its name."""


def find_method(name: str) -> type[Method]:
    """Look a method up by its name.

    Raises:
        PolicyError: none has that name.
    """
    if name not in METHODS:
        raise PolicyError("efficiency method", got=name, expected=f"one of {sorted(METHODS)}")
    return METHODS[name]
