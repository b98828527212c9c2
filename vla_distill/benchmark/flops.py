"""Operations and bytes of one chunk, counted by torch on the meta device: any size, no weights.

Operations are those of torch's FlopCounterMode: matrix products and convolutions, a multiply and an
add are two. Bytes are counted in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vla_distill.errors import DistillError
from vla_policy.efficiency.layers import RoutingMethod
from vla_policy.efficiency.layers.deepest import DeepestLayers
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe
from vla_policy.efficiency.reuse import ReuseMethod
from vla_policy.efficiency.reuse.frame import Frame
from vla_policy.model.actions import ACTION_SIZE, STATE_FEATURES
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import VlaNetwork
from vla_policy.model.plan import TokenStates
from vla_policy.model.token_reuse import KeptTokens, TokenReuse

NUMBER_BYTES = 2
"""Of a weight or an activation in bfloat16."""
TEXT_TOKENS = 26
"""Tokens of CogACT's prompt with a usual instruction; the paper does not say (docs/results)."""


def compare(config: ModelConfig, recipe: Recipe, text_tokens: int = TEXT_TOKENS) -> dict[str, Any]:
    """What a recipe leaves of a chunk's operations and bytes.

    No layers are ranked, because there are no weights: those removed are taken to lie after the
    layer at which tokens are chosen. A router is taken to run its average, always the same layers.
    Tokens that may come from an earlier frame all do, as where nothing moves: the least that such a
    recipe can cost. A first frame costs as much as the plain policy's.

    Args:
        config: sizes of the plain network.
        recipe: what to save.
        text_tokens: length of the instruction.

    Returns:
        ``gflops``, ``base_gflops`` and their ``ratio``; ``stages`` and ``base_stages`` [GFLOP]; of
        both, ``parameters`` (those that are used), ``parameter_bytes``, ``weight_bytes`` (read in a
        chunk, a weight as often as it is used) and ``activation_bytes`` (written in a chunk), in
        bfloat16.

    Raises:
        DistillError: no text.
        PolicyError: the recipe does not fit the sizes.
    """
    if text_tokens < 1:
        raise DistillError("text tokens", got=text_tokens, expected="at least 1")
    base = count(config, Recipe(), text_tokens)
    less = count(config, recipe, text_tokens)
    return {
        "recipe": recipe.to_dict(),
        "text_tokens": text_tokens,
        "ratio": less["gflops"] / base["gflops"],
        **less,
        **{f"base_{key}": value for key, value in base.items()},
    }


def count(config: ModelConfig, recipe: Recipe, text_tokens: int) -> dict[str, Any]:
    """Operations and bytes of a chunk with one recipe; keys as in :func:`compare`."""
    width = recipe.method("mlp_width")
    if width is not None:
        config = width.narrowed(config)
    layers = config.language.layers
    plan = _StillScene(config, ranked(recipe, layers))
    with torch.device("meta"):
        network = VlaNetwork(config).eval()
        images = torch.zeros(1, len(config.cameras), 3, config.image_size, config.image_size)
        text = torch.zeros(1, text_tokens, dtype=torch.int64)
        state, noise = torch.zeros(1, STATE_FEATURES), torch.zeros(1, config.horizon, ACTION_SIZE)
    stages: dict[str, float] = {}
    traffic = _Traffic()

    def run(stage: str, work: Callable[[], Any]) -> Any:
        with traffic, FlopCounterMode(display=False) as counter:
            result = work()
        stages[stage] = counter.get_total_flops() / 1e9
        return result

    with torch.no_grad(), _weights_read(network) as read:
        visual = run("vision", lambda: network.see(images))
        condition = run(
            "language", lambda: network.think(visual, text, text == 0, state, plan.begin(()))
        )
        run("head", lambda: network.head.sample(noise, condition.tokens, plan))
    removed = network.language.layers[plan.budget.language_layers :]
    parameters = _parameters(network) - sum(map(_parameters, removed))
    return {
        "gflops": sum(stages.values()),
        "stages": stages,
        "parameters": parameters,
        "parameter_bytes": parameters * NUMBER_BYTES,
        "weight_bytes": read.numbers * NUMBER_BYTES,
        "activation_bytes": traffic.numbers * NUMBER_BYTES,
    }


class _StillScene(RecipePlan):
    """All visual tokens that may be reused are; on the meta device, where no frame can be seen."""

    def reuse_tokens(self, layer: int, tokens: TokenStates) -> TokenReuse | None:
        """As many as the budget allows, of a frame that holds nothing but shapes."""
        method: ReuseMethod | None = self.recipe.method("reused_tokens")
        most = self.budget.reused_tokens
        if method is None or layer != method.at or not most:
            return None
        states = tokens.hidden[0, tokens.visual]
        attention: Any = tokens.layers[layer].self_attn
        heads = states.new_zeros(
            attention.config.num_attention_heads, len(states), attention.head_dim
        )
        by_layer = dict.fromkeys(range(self.limits["language_layers"][1]), heads)
        kept = KeptTokens(by_layer, by_layer, states)
        patches = states.new_zeros(1, 1, len(states), 1)
        frame = Frame((), frozenset(), 0, patches[0], states, kept)
        reused = method.select(tokens, patches, [frame], most)
        return TokenReuse(tokens.visual, reused, [kept], saved=most)


def ranked(recipe: Recipe, layers: int) -> Recipe:
    """The recipe with the deepest layers to go first, as if its method had chosen them."""
    method = recipe.method("language_layers")
    if method is None:
        return recipe
    if isinstance(method, RoutingMethod):
        others = tuple(other for other in recipe.methods if other is not method)
        recipe = replace(recipe, methods=(DeepestLayers(method.keep), *others))
    return replace(recipe, ranking=tuple(reversed(range(layers))))


class _Traffic(TorchDispatchMode):
    """Counts the numbers that operations write; views write none."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not any(returned.alias_info for returned in func._schema.returns):
            tensors = (leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
            self.numbers += sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
        return result


class _Read:
    """Counts the weights that modules use, each time they do."""

    def __init__(self) -> None:
        self.numbers = 0

    def add(self, module: nn.Module, _: object) -> None:
        if not isinstance(module, nn.Embedding):  # of which only some rows are read
            own = module.parameters(recurse=False)
            self.numbers += sum(parameter.numel() for parameter in own)


@contextmanager
def _weights_read(network: nn.Module) -> Iterator[_Read]:
    read = _Read()
    handles = [module.register_forward_pre_hook(read.add) for module in network.modules()]
    try:
        yield read
    finally:
        for handle in handles:
            handle.remove()


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
