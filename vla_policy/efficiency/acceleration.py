"""Make a policy cheaper by a recipe: measure, rank, narrow. No training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vla_policy.contract import Observation
from vla_policy.efficiency.layers import LayerMethod
from vla_policy.efficiency.method import CALIBRATION
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe
from vla_policy.efficiency.width import WidthMethod
from vla_policy.errors import PolicyError
from vla_policy.model.policy import VlaPolicy

BATCH = 32


def accelerate(policy: VlaPolicy, recipe: Recipe, observations: Sequence[Observation]) -> VlaPolicy:
    """A policy that follows a recipe; the given one stays as it is.

    The layers are ranked first, in the full network; MLP channels are judged in what is left of it.

    Args:
        policy: a plain one.
        recipe: what to do.
        observations: to calibrate on; may be empty if no method requires calibration.

    Raises:
        PolicyError: the policy follows a recipe already, a method requires observations and there
            are none, or an option does not fit the policy's sizes.
    """
    if isinstance(policy.plan, RecipePlan) and policy.plan.recipe.methods:
        raise PolicyError(
            "policy to accelerate",
            got=f"one that follows the recipe {policy.plan.recipe.name}",
            expected="a plain one",
        )
    recipe.check([CALIBRATION] if observations else [])
    inputs = [
        policy.inputs(observations[start : start + BATCH])
        for start in range(0, len(observations), BATCH)
    ]
    layers: LayerMethod | None = recipe.method("language_layers")
    ranking = layers.rank(policy.network, inputs) if layers else ()
    recipe = replace(recipe, ranking=ranking, origin=policy.policy_hash)
    plan = RecipePlan(policy.config, recipe)
    network = policy.network
    width: WidthMethod | None = recipe.method("mlp_width")
    if width is not None:
        network = width.narrow(network, inputs, plan)
    return policy.altered(network, RecipePlan(network.config, recipe))
