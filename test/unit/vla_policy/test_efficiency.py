"""Laws of the single methods, and of budget and recipe."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_policy.contract import Memory, Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.budget import Adjustable
from vla_policy.efficiency.layers.action_importance import ActionImportance
from vla_policy.efficiency.layers.importance import layer_importance
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe, read_recipe
from vla_policy.efficiency.steps.head_cache import is_computed
from vla_policy.efficiency.tokens.attention import LAST, attention_to_visual
from vla_policy.efficiency.tokens.fastv import FastV
from vla_policy.efficiency.tokens.random import RandomTokens
from vla_policy.efficiency.tokens.task_diversity import TaskDiversity
from vla_policy.efficiency.tokens.uniform import UniformTokens
from vla_policy.efficiency.width.mlp_sparsity import MlpSparsity
from vla_policy.errors import PolicyError
from vla_policy.model.network import VlaNetwork
from vla_policy.model.plan import FullCompute, TokenStates
from vla_policy.model.policy import VlaPolicy
from vla_policy.model.walk import causal_mask

CHOICES = (TaskDiversity, FastV, RandomTokens, UniformTokens)
SENTENCES = ("pick up the red cube", "red", "the cube")


def observations(count: int, size: int = 32) -> list[Observation]:
    rng = np.random.default_rng(0)
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32)
    return [
        Observation(
            {n: rng.integers(0, 256, (size, size, 3), np.uint8) for n in ("front", "wrist")},
            state,
            SENTENCES[index % 3],
            stamp=0.0,
        )
        for index in range(count)
    ]


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def policy() -> VlaPolicy:
    policy = VlaPolicy.random("test")
    torch.nn.init.normal_(policy.network.head.out.weight)
    return policy


class Listener(FullCompute):
    """Keeps the tokens before a layer."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self.tokens: TokenStates | None = None

    def select_tokens(self, layer, tokens):
        if layer == self.layer:
            self.tokens = tokens


class FewerSteps(FullCompute):
    """Denoises in so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def head_steps(self, steps):
        return self.steps


@pytest.fixture
def tokens(policy: VlaPolicy) -> TokenStates:
    """Of three rows, two of them padded, before layer 2."""
    listener, inputs = Listener(2), policy.inputs(observations(3))
    visual = policy.network.see(inputs.images)
    policy.network.think(visual, inputs.text, inputs.text_mask, inputs.state, listener)
    assert listener.tokens is not None
    return listener.tokens


# Layers.


def test_an_identity_layer_has_importance_zero_and_goes_first(policy: VlaPolicy) -> None:
    layer = policy.network.language.layers[1]
    torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    importance = layer_importance(policy.network, [policy.inputs(observations(3))])
    assert importance[1] == pytest.approx(0.0, abs=1e-9)
    assert min(importance[0], importance[2]) > 1e-3
    recipe = Recipe.from_dict({"methods": {"layer_importance": {"keep": 2}}})
    fast = accelerate(policy, recipe, observations(3))
    one, other = (p.infer(observations(1), [p.start(0)])[0] for p in (policy, fast))
    assert other.report.layers_run == (0, 2)
    assert one.targets.tobytes() == other.targets.tobytes()


def test_importance_is_the_mean_over_all_samples_however_they_are_batched(
    policy: VlaPolicy,
) -> None:
    seen = observations(4)
    together = layer_importance(policy.network, [policy.inputs(seen)])
    apart = layer_importance(policy.network, [policy.inputs([o]) for o in seen])
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_importance_is_equation_1(policy: VlaPolicy) -> None:
    """Against the definition, on one observation without padding."""
    inputs = policy.inputs(observations(1))
    listeners = [Listener(0), Listener(1)]
    for listener in listeners:
        visual = policy.network.see(inputs.images)
        policy.network.think(visual, inputs.text, inputs.text_mask, inputs.state, listener)
    before, after = (listener.tokens.hidden[0].double() for listener in listeners)
    cosine = (before * after).sum(-1) / before.norm(dim=-1) / after.norm(dim=-1)
    expected = 1.0 - float(cosine.mean())
    assert layer_importance(policy.network, [inputs])[0] == pytest.approx(expected, abs=1e-6)


def silence(policy: VlaPolicy, layers: Sequence[int]) -> VlaPolicy:
    """A copy in which these layers add nothing."""
    quiet = copy.deepcopy(policy)
    for layer in layers:
        torch.nn.init.zeros_(quiet.network.language.layers[layer].self_attn.o_proj.weight)
        torch.nn.init.zeros_(quiet.network.language.layers[layer].mlp.down_proj.weight)
    return quiet


def test_a_layer_that_adds_nothing_goes_first_by_its_effect_on_the_action(
    policy: VlaPolicy,
) -> None:
    inputs = [silence(policy, [1]).inputs(observations(3))]
    assert ActionImportance(keep=2).rank(silence(policy, [1]).network, inputs)[0] == 1


@pytest.mark.parametrize(("steps", "first"), [(1, 0.5), (4, 1.0)])
def test_layers_go_one_after_the_other_by_what_the_chunk_loses(
    policy: VlaPolicy, steps: int, first: float
) -> None:
    """Against chunks of networks in which layers are silent instead of skipped."""
    inputs = policy.inputs(observations(3))
    horizon = policy.horizon
    noise = torch.randn(3, horizon, 10, generator=torch.Generator().manual_seed(0))

    def chunk(silent: Sequence[int]) -> torch.Tensor:
        network, plan = silence(policy, silent).network, FewerSteps(steps)
        visual = network.see(inputs.images)
        told = network.think(visual, inputs.text, inputs.text_mask, inputs.state, plan)
        return network.head.sample(noise, told.tokens, plan)[0][:, : round(first * horizon)]

    def loss(silent: Sequence[int]) -> float:
        return float((chunk(silent) - chunk([])).square().mean((1, 2)).sqrt().mean())

    one = min(range(3), key=lambda layer: loss([layer]))
    two = min({0, 1, 2} - {one}, key=lambda layer: loss([one, layer]))
    ranking = ActionImportance(keep=1, steps=steps, first=first).rank(policy.network, [inputs])
    assert ranking[:2] == (one, two) and sorted(ranking) == [0, 1, 2]


@pytest.mark.parametrize("options", [{"steps": 0}, {"first": 0.0}, {"first": 1.5}])
def test_action_importance_refuses_what_cannot_be(policy: VlaPolicy, options: dict) -> None:
    inputs = [policy.inputs(observations(1))]
    with pytest.raises(PolicyError, match=f"action_importance: {next(iter(options))}"):
        ActionImportance(keep=1, **options).rank(policy.network, inputs)
    with pytest.raises(PolicyError, match="no observations"):
        ActionImportance(keep=1).rank(policy.network, [])


def test_nested_layers_are_the_first_of_the_order_that_was_trained(policy: VlaPolicy) -> None:
    recipe = Recipe.from_dict({"methods": {"nested_layers": {"keep": 2}}}, "nested")
    with pytest.raises(PolicyError, match="nested_layers: got no layers trained in an order"):
        accelerate(policy, recipe, [])
    config = replace(policy.config, layer_order=(2, 0, 1))
    network = VlaNetwork(config)
    network.load_state_dict(policy.network.state_dict())
    fast = accelerate(policy.altered(network, RecipePlan(config, Recipe())), recipe, [])
    (chunk,) = fast.infer(observations(1), [fast.start(0)])
    assert chunk.report.layers_run == (0, 2)
    with pytest.raises(PolicyError, match="every one of 3 layers once"):
        replace(policy.config, layer_order=(0, 1))


# Tokens.


@pytest.mark.parametrize("kind", CHOICES)
@pytest.mark.parametrize("keep", range(1, 8))
def test_exactly_as_many_tokens_as_asked_ascending_without_duplicates(kind, keep, tokens) -> None:
    chosen = kind(keep=keep).select(tokens, keep, ((0, 0), (1, 0), (2, 5)))
    assert chosen.shape == (3, keep) and chosen.dtype == torch.int64
    assert (chosen.diff(dim=1) > 0).all()
    assert chosen.min() >= 0 and chosen.max() < 8


def test_the_scoring_attention_of_the_last_token_is_the_models_own(policy, tokens) -> None:
    """The same as a forward pass of the layer hands out, for every row and whatever padding."""
    layer = policy.network.language.layers[2]
    mask = causal_mask(tokens.present, tokens.hidden.dtype)
    _, weights = layer.self_attn(
        layer.input_layernorm(tokens.hidden),
        attention_mask=mask,
        position_embeddings=tokens.rotary,
    )
    got = attention_to_visual(tokens, 2, LAST)
    torch.testing.assert_close(got, weights[:, :, -1, tokens.visual].mean(1))


def test_task_tokens_are_the_most_attended_and_the_rest_unlike_them(tokens) -> None:
    """Eq. 2-5 once more, row by row, in plain Python."""
    keep, method = 6, TaskDiversity(keep=6, key=2, alpha=0.5)
    relevance = attention_to_visual(tokens, 2, slice(0, tokens.visual.start - 1), LAST).tolist()
    for row, chosen in enumerate(method.select(tokens, keep, ()).tolist()):
        order = sorted(range(8), key=lambda i, r=relevance[row]: -r[i])
        visual = tokens.hidden[row, tokens.visual]
        unit = visual / visual.norm(dim=-1, keepdim=True)
        key, task = order[:2], order[2:4]
        unlike = {i: 1 - max(float(unit[i] @ unit[k]) for k in key) for i in order[4:]}
        rest = sorted(unlike, key=lambda i, u=unlike: -u[i])[:2]
        assert chosen == sorted([*key, *task, *rest])


def test_random_tokens_are_a_function_of_seed_and_sequence(tokens) -> None:
    method = RandomTokens(keep=4)
    draw = lambda *draws: method.select(tokens, 4, draws).tolist()  # noqa: E731
    assert draw((1, 0), (2, 0), (3, 0)) == draw((1, 0), (2, 0), (3, 0))
    assert draw((1, 0), (2, 0), (3, 0))[::-1] == draw((3, 0), (2, 0), (1, 0))
    many = {str(draw((1, step), (2, step), (3, step))) for step in range(5)}
    assert len(many) == 5


def test_uniform_tokens_lie_at_even_strides(tokens) -> None:
    assert UniformTokens(keep=4).select(tokens, 4, ())[0].tolist() == [1, 3, 5, 7]
    assert UniformTokens(keep=2).select(tokens, 2, ())[0].tolist() == [2, 6]


# Steps.


def test_the_cache_computes_the_first_step_and_every_nth_counted_down() -> None:
    computed = lambda steps, n: [s for s in range(steps) if is_computed(s, steps, n)]  # noqa: E731
    assert computed(10, 5) == [0, 5]  # the paper's t = 10 and t = 5
    assert computed(10, 1) == list(range(10))
    assert computed(4, 3) == [0, 1]  # t = 4, the first, and t = 3
    for interval in (4, 5, 100):
        assert computed(4, interval) == [0]


def test_an_interval_of_all_steps_or_more_computes_once(policy: VlaPolicy) -> None:
    for interval in (3, 7):
        recipe = Recipe.from_dict({"methods": {"head_cache": {"interval": interval}}})
        fast = accelerate(policy, recipe, [])
        assert fast.infer(observations(1), [fast.start(0)])[0].report.head_steps == (3, 1)


# Width.


def test_mlps_lose_the_channels_that_add_nothing(policy: VlaPolicy) -> None:
    for layer in policy.network.language.layers:
        layer.mlp.down_proj.weight.data[:, ::4] = 0.0
    for refit in (False, True):
        methods = {"mlp_sparsity": {"share": 0.25, "refit": refit}}
        narrow = accelerate(policy, Recipe.from_dict({"methods": methods}), observations(4))
        assert narrow.config.language.mlp_width == 48 and policy.config.language.mlp_width == 64
        one, other = (p.infer(observations(1), [p.start(0)])[0] for p in (policy, narrow))
        np.testing.assert_allclose(one.targets, other.targets, atol=1e-3)


def test_refitting_comes_closer_on_the_data_that_it_saw(policy: VlaPolicy) -> None:
    seen = observations(12)
    errors = []
    for refit in (False, True):
        methods = {"mlp_sparsity": {"share": 0.5, "refit": refit}}
        narrow = accelerate(policy, Recipe.from_dict({"methods": methods}), seen)
        inputs = policy.inputs(seen)
        outputs = []
        for each in (policy, narrow):
            visual = each.network.see(inputs.images)
            listener = Listener(1)
            each.network.think(visual, inputs.text, inputs.text_mask, inputs.state, listener)
            outputs.append(listener.tokens.hidden[listener.tokens.present])
        errors.append(float((outputs[0] - outputs[1]).square().mean()))
    assert errors[1] < 0.8 * errors[0]


def test_channels_are_judged_on_all_samples_however_they_are_batched(policy: VlaPolicy) -> None:
    seen, method = observations(4), MlpSparsity(share=0.5, refit=True)
    plan = RecipePlan(policy.config, Recipe())
    together = method.narrow(policy.network, [policy.inputs(seen)], plan).state_dict()
    apart = method.narrow(policy.network, [policy.inputs([o]) for o in seen], plan).state_dict()
    for name, value in together.items():
        torch.testing.assert_close(value, apart[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("refit", [False, True])
def test_a_narrow_network_is_of_the_types_and_the_layout_of_the_wide_one(
    policy: VlaPolicy, refit: bool
) -> None:
    network, inputs = policy.network.bfloat16(), policy.inputs(observations(4))
    inputs = replace(inputs, images=inputs.images.bfloat16(), state=inputs.state.bfloat16())
    plan = RecipePlan(policy.config, Recipe())
    narrow = MlpSparsity(refit=refit).narrow(network, [inputs], plan)
    tensors = [*narrow.named_parameters(), *narrow.named_buffers()]
    assert {name for name, value in tensors if value.dtype != torch.bfloat16} == set()
    assert all(value.is_contiguous() and value.device.type == "cpu" for _, value in tensors)
    given = dict([*network.named_parameters(), *network.named_buffers()])
    assert all(torch.equal(value, given[name]) for name, value in tensors if ".mlp." not in name)
    assert not narrow.training


# Budget and recipe.


def adjustable(policy: VlaPolicy) -> RecipePlan:
    methods = {"deepest_layers": {"keep": 2}, "uniform_tokens": {"keep": 4}}
    return accelerate(policy, Recipe.from_dict({"methods": methods}), []).plan


def test_a_budget_is_held_against_its_range(policy: VlaPolicy) -> None:
    plan = adjustable(policy)
    assert isinstance(plan, Adjustable)
    for name, value in (
        ("language_layers", 0),
        ("language_layers", 4),
        ("visual_tokens", 9),
        ("head_steps", 4),
        ("head_cache_interval", 0),
    ):
        low, high = plan.limits[name]
        with pytest.raises(PolicyError, match=f"{name}: got {value}, expected {low} to {high}"):
            plan.budget = replace(plan.budget, **{name: value})
    assert plan.budget == plan.default


def test_a_plan_under_way_keeps_the_budget_that_it_began_with(policy: VlaPolicy, tokens) -> None:
    plan = adjustable(policy)
    begun = plan.begin([Memory(0)])
    plan.budget = replace(plan.budget, language_layers=1, head_steps=1)
    assert [begun.runs_layer(i, tokens) for i in range(3)] == [True, True, False]
    assert [plan.runs_layer(i, tokens) for i in range(3)] == [True, False, False]
    assert (begun.head_steps(3), plan.head_steps(3)) == (3, 1)


def test_a_report_fits_the_budget_that_it_was_made_in_and_no_other(policy: VlaPolicy) -> None:
    accelerated = policy.altered(policy.network, adjustable(policy))
    plan = accelerated.plan
    budgets = [
        replace(plan.default, **change)
        for change in (
            {}, {"language_layers": 1}, {"visual_tokens": 3}, {"head_steps": 1},
            {"head_cache_interval": 2}, {"head_cache_interval": 3},
        )
    ]  # fmt: skip
    for made_in in budgets:
        plan.budget = made_in
        (chunk,) = accelerated.infer(observations(1), [accelerated.start(0)])
        for budget in budgets:
            plan.budget = budget
            assert plan.can_have_made(chunk.report) == (budget == made_in)


def test_a_plain_policy_offers_only_the_heads_knobs(policy: VlaPolicy) -> None:
    limits = RecipePlan(policy.config, Recipe()).limits
    assert limits["language_layers"] == (3, 3) and limits["visual_tokens"] == (8, 8)
    assert limits["head_steps"] == (1, 3) and limits["head_cache_interval"] == (1, 3)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("methods: {task_diversitee: {keep: 3}}", "task_diversity"),
        ("methods: {fastv: {keep: 3, att: 2}}", "att"),
        ("methods: {fastv: {keep: many}}", "many"),
        ("methods: {fastv: {keep: 3, at: 1.5}}", "at"),
        ("methods: [fastv]", "methods"),
        ("methods: {fastv: {}}", "fastv: keep"),
        ("methods:\n  layer_importance:", "layer_importance: keep"),
        ("methods: {fastv: 8}", "fastv: options: got 8"),
        ("methods: {fastv: {1: 2, att: 2}}", "fastv: options"),
        ("ranking: 5", "ranking: got 5"),
        ("ranking: [0, a]", "ranking"),
        ("{1: 2, method: 3}", "keys"),
        ("method: {}", "method"),
        ("methods: {fastv: {keep: 3}, random_tokens: {keep: 3}}", "fastv with random_tokens"),
        ("{", "YAML"),
    ],
)
def test_a_bad_recipe_is_named(tmp_path, text: str, named: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=named):
        read_recipe(path)


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(PolicyError, match="efficientvla"):
        read_recipe("inefficientvla")


@pytest.mark.parametrize("keep", [0, 4, 1.0, -0.5, 99])
def test_a_share_or_count_that_does_not_fit_is_refused(policy: VlaPolicy, keep) -> None:
    recipe = Recipe.from_dict({"methods": {"deepest_layers": {"keep": keep}}})
    with pytest.raises(PolicyError, match="deepest_layers: keep"):
        accelerate(policy, recipe, [])


def test_an_accelerated_policy_is_not_accelerated_again(policy: VlaPolicy) -> None:
    recipe = Recipe.from_dict({"methods": {"head_cache": {"interval": 2}}}, "once")
    with pytest.raises(PolicyError, match="once"):
        accelerate(accelerate(policy, recipe, []), recipe, [])
