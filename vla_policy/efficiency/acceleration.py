"""Make a policy cheaper by a recipe: measure, rank, narrow. No training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vla_policy.contract import Observation
from vla_policy.efficiency.layers import LayerMethod, RoutingMethod
from vla_policy.efficiency.method import CALIBRATION, NESTED, ROUTER
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe
from vla_policy.efficiency.width import WidthMethod
from vla_policy.errors import PolicyError
from vla_policy.model.network import NetworkInputs, VlaNetwork
from vla_policy.model.policy import VlaPolicy

BATCH = 32


def accelerate(policy: VlaPolicy, recipe: Recipe, observations: Sequence[Observation]) -> VlaPolicy:
    """A policy that follows a recipe; the given one stays as it is.

    The layers are ranked first, in the full network; MLP channels are judged in what is left of it.

    Args:
        policy: a plain one, or one whose recipe the new one extends: its methods stay as they are.
        recipe: what to do.
        observations: to calibrate on; may be empty if no method requires calibration.

    Raises:
        PolicyError: the policy follows a recipe that the new one does not extend, a method requires
            observations, a router or an order of layers and there is none, or an option does not
            fit the policy's sizes.
    """
    old = policy.plan.recipe if isinstance(policy.plan, RecipePlan) else Recipe()
    if old.methods and not set(old.methods) < set(recipe.methods):
        raise PolicyError(
            "policy to accelerate",
            got=f"one that follows the recipe {old.name}",
            expected=f"a plain one, or a recipe with more than {old.to_dict()['methods']}",
        )
    recipe = replace(recipe, ranking=old.ranking, thresholds=old.thresholds)
    new = [method for method in recipe.methods if method not in old.methods]
    there = {
        CALIBRATION: observations,
        ROUTER: policy.config.router,
        NESTED: policy.config.layer_order,
    }
    replace(recipe, methods=tuple(new)).check([name for name, found in there.items() if found])
    inputs = [
        policy.inputs(observations[start : start + BATCH])
        for start in range(0, len(observations), BATCH)
    ]
    if recipe.method("language_layers") in new:
        recipe = fitted(recipe, policy.network, inputs)
    recipe = replace(recipe, origin=policy.policy_hash)
    plan = RecipePlan(policy.config, recipe)
    network = policy.network
    width: WidthMethod | None = recipe.method("mlp_width")
    if width is not None and width in new:
        network = width.narrow(network, inputs, plan)
    return policy.altered(network, RecipePlan(network.config, recipe))


def fitted(recipe: Recipe, network: VlaNetwork, inputs: Sequence[NetworkInputs]) -> Recipe:
    """The recipe with the ranking or the thresholds of its layers, measured in this network."""
    method: LayerMethod | RoutingMethod | None = recipe.method("language_layers")
    if method is None:
        return recipe
    if isinstance(method, RoutingMethod):
        return replace(recipe, thresholds=method.fit(network, inputs))
    return replace(recipe, ranking=method.rank(network, inputs))
