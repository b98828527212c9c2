"""Laws of every registered method, of every recipe that ships, and of every two that combine."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.budget import full_budget
from vla_policy.efficiency.method import CALIBRATION, NESTED, ROUTER
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe, read_recipe, recipe_names
from vla_policy.efficiency.registry import METHODS
from vla_policy.errors import PolicyError
from vla_policy.model.actions import Statistics
from vla_policy.model.config import RouterConfig, preset
from vla_policy.model.network import VlaNetwork
from vla_policy.model.policy import VlaPolicy

SAVING = {
    "layer_importance": {"keep": 2},
    "action_importance": {"keep": 2},
    "nested_layers": {"keep": 2},
    "deepest_layers": {"keep": 2},
    "random_layers": {"keep": 2},
    "layer_router": {"keep": 2},
    "top_k_router": {"keep": 2},
    "random_gates": {"keep": 2},
    "task_diversity": {"keep": 0.6},
    "fastv": {"keep": 0.6},
    "random_tokens": {"keep": 0.6},
    "uniform_tokens": {"keep": 0.6},
    "mlp_sparsity": {"share": 0.25},
    "head_cache": {"interval": 2},
    "few_steps": {"steps": 2},
    "vla_cache": {"reuse": 0.8, "at": 1, "drift": 9.0},
}
"""Options with which each method saves something, in every preset."""
NEUTRAL = {"language_layers": "keep", "visual_tokens": "keep", "head_steps": "steps"}
"""The option of each knob that, set to all there is, saves nothing."""
SENTENCES = ("pick up the red cube", "pick the red red red cube up", "red")


def observation(seed: int, size: int = 32) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (size, size, 3), np.uint8) for name in ("front", "wrist")}
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32) + 0.01 * seed
    return Observation(images, state, SENTENCES[seed % 3], stamp=1.0)


def make(name: str) -> VlaPolicy:
    torch.manual_seed(0)
    config = preset(name)
    order = tuple(reversed(range(config.language.layers)))
    config = dataclasses.replace(config, router=RouterConfig(width=8), layer_order=order)
    network = VlaNetwork(config)
    torch.nn.init.normal_(network.head.out.weight)  # zero at birth, which hides differences
    words = VlaPolicy.random("test").tokenizer
    return VlaPolicy(network, words, Statistics.identity(config.horizon))


@pytest.fixture(scope="module")
def plain() -> VlaPolicy:
    return make("test")


def a_moment_later(seen: Observation) -> Observation:
    """The same scene, but for a corner of the front camera's image."""
    front = seen.images["front"].copy()
    front[:8, :8] = 255 - front[:8, :8]
    return dataclasses.replace(seen, images={**seen.images, "front": front})


SEEN = [observation(seed) for seed in range(6)]
NEXT = [a_moment_later(seen) for seen in SEEN]


def recipe(*names: str, **options: object) -> Recipe:
    methods = {name: {**SAVING[name], **options} for name in names}
    return Recipe.from_dict({"methods": methods}, "made")


def infer(policy: VlaPolicy, rows: Sequence[int] = (0, 1, 2)):
    """The second chunk of some episodes: what a method keeps of the first may come in."""
    memories = [policy.start(row) for row in rows]
    policy.infer([SEEN[row] for row in rows], memories)
    return policy.infer([NEXT[row] for row in rows], memories)


def conflict(one: str, other: str) -> bool:
    return other in METHODS[one].conflicts or one in METHODS[other].conflicts


def infer_one(policy: VlaPolicy, seed: int):
    return policy.infer([SEEN[seed]], [policy.start(seed)])[0]


def on_average(names: tuple[str, ...]) -> bool:
    """Whether the budget holds on average only."""
    return any(getattr(METHODS[name], "varies", False) for name in names)


def pairs() -> Iterator[tuple[str, str]]:
    for one, other in itertools.combinations(METHODS, 2):
        if METHODS[one].knob != METHODS[other].knob and not conflict(one, other):
            yield one, other


def everything() -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in METHODS)
    yield from pairs()
    yield ("layer_importance", "mlp_sparsity", "task_diversity", "head_cache")


def test_every_method_is_tested_here() -> None:
    assert set(SAVING) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is(name: str) -> None:
    kind = METHODS[name]
    assert kind.name == name and dataclasses.is_dataclass(kind)
    assert kind.requires <= {CALIBRATION, ROUTER, NESTED} and kind.conflicts <= set(METHODS)
    assert "attributes:" in (kind.__doc__ or "").lower()
    with pytest.raises(PolicyError, match=f"{name}.*nonsense"):
        recipe(name, nonsense=1)


@pytest.mark.parametrize("names", everything(), ids="+".join)
def test_batched_equals_one_by_one_and_costs_less(plain: VlaPolicy, names: tuple[str, ...]) -> None:
    policy = accelerate(plain, recipe(*names), SEEN)
    together = infer(policy)
    for row, chunk in enumerate(together):
        alone = infer(policy, [row])[0]
        np.testing.assert_allclose(chunk.targets, alone.targets, atol=5e-4)
        assert np.isfinite(chunk.targets).all()
        full = infer(plain, [row])[0]
        assert chunk.report.layers_run == alone.report.layers_run
        if not on_average(names):
            assert alone.report.gflops < full.report.gflops
    if on_average(names):
        mean = np.mean([len(infer_one(policy, seed).report.layers_run) for seed in range(6)])
        assert mean == pytest.approx(2, abs=0.4)  # of six observations, the same as it saw
    assert not np.array_equal(together[0].targets, infer(plain)[0].targets)


@pytest.mark.parametrize("names", everything(), ids="+".join)
def test_the_reported_operations_are_those_that_torch_counts(
    plain: VlaPolicy, names: tuple[str, ...]
) -> None:
    policy = accelerate(plain, recipe(*names), SEEN)
    memory = policy.start(0)
    policy.infer([SEEN[0]], [memory])
    # torch does not count the fused attention of CPUs
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        report = policy.infer([NEXT[0]], [memory])[0].report
    assert counter.get_total_flops() / 1e9 == pytest.approx(report.gflops, rel=0.01)


@pytest.mark.parametrize("name", ["test", "tiny", "deep"])
def test_the_plain_recipe_is_the_plain_policy_to_the_bit(name: str) -> None:
    base = make(name)
    same = accelerate(base, read_recipe("plain"), [])
    seen = [observation(seed, preset(name).image_size) for seed in range(2)]
    for one, other in zip(*(p.infer(seen, [p.start(0), p.start(1)]) for p in (base, same))):
        assert one.targets.tobytes() == other.targets.tobytes()
        assert one.report.gflops == other.report.gflops
        assert one.report.layers_run == other.report.layers_run


@pytest.mark.parametrize("name", ["test", "tiny", "deep"])
@pytest.mark.parametrize("method", [m for m in METHODS if METHODS[m].knob in NEUTRAL])
def test_a_method_that_keeps_all_changes_no_bit(name: str, method: str) -> None:
    base, config = make(name), preset(name)
    whole = {
        "language_layers": config.language.layers,
        "visual_tokens": config.visual_tokens,
        "head_steps": config.head.steps,
    }
    knob = METHODS[method].knob
    seen = [observation(0, config.image_size)]
    same = accelerate(base, recipe(method, **{NEUTRAL[knob]: whole[knob]}), seen)
    chunks = [p.infer(seen, [p.start(0)])[0] for p in (base, same)]
    assert chunks[0].targets.tobytes() == chunks[1].targets.tobytes()
    assert chunks[0].report.gflops == chunks[1].report.gflops


@pytest.mark.parametrize("names", pairs(), ids="+".join)
def test_opening_every_knob_of_an_accelerated_policy_is_full_compute(
    plain: VlaPolicy, names: tuple[str, ...]
) -> None:
    if "mlp_sparsity" in names:
        names = tuple(name for name in names if name != "mlp_sparsity")  # not to be undone
    policy = accelerate(plain, recipe(*names), SEEN)
    policy.plan.budget = full_budget(policy.plan.limits)
    for one, other in zip(infer(plain), infer(policy), strict=True):
        assert one.targets.tobytes() == other.targets.tobytes()


@pytest.mark.parametrize("names", everything(), ids="+".join)
def test_a_policy_travels_with_its_recipe(
    plain: VlaPolicy, tmp_path, names: tuple[str, ...]
) -> None:
    policy = accelerate(plain, recipe(*names), SEEN)
    first = load_policy(save_policy(policy, tmp_path / "one"))
    again = load_policy(save_policy(first, tmp_path / "two"))
    assert first.plan.recipe == policy.plan.recipe and first.plan.default == policy.plan.default
    assert first.policy_hash == again.policy_hash
    for one, other in zip(infer(first), infer(again), strict=True):
        assert one.targets.tobytes() == other.targets.tobytes()


@pytest.mark.parametrize("one", METHODS)
def test_two_methods_that_set_the_same_knob_are_refused_by_name(one: str) -> None:
    for other in METHODS:
        if other != one and METHODS[other].knob == METHODS[one].knob:
            with pytest.raises(PolicyError, match=f"{one}.*{other}.*{METHODS[one].knob}"):
                recipe(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [(one, other) for one in METHODS for other in sorted(METHODS[one].conflicts)]
)
def test_two_methods_that_conflict_are_refused_by_name(one: str, other: str) -> None:
    with pytest.raises(PolicyError, match=f"{one}.*{other}.*conflict"):
        recipe(one, other)


@pytest.mark.parametrize("name", METHODS)
def test_what_requires_calibration_is_refused_without(plain: VlaPolicy, name: str) -> None:
    if "calibration" in METHODS[name].requires:
        with pytest.raises(PolicyError, match=f"{name}.*calibration"):
            accelerate(plain, recipe(name), [])
    else:
        used = accelerate(plain, recipe(name), []).plan.recipe
        assert used.method(METHODS[name].knob).name == name


@pytest.mark.parametrize("name", recipe_names())
def test_the_recipes_that_ship_fit_the_sizes_that_they_are_for(name: str) -> None:
    shipped = read_recipe(name)
    config = preset("cogact_base" if name.startswith("l2") else "deep")
    layers, method = config.language.layers, shipped.method("language_layers")
    if on_average([each.name for each in shipped.methods]):
        shipped = dataclasses.replace(shipped, thresholds=tuple(range(1, layers)))
    elif method:
        shipped = dataclasses.replace(shipped, ranking=tuple(range(layers)))
    plan = RecipePlan(config, shipped)
    assert (plan.default == RecipePlan(config, Recipe()).default) == (name in ("plain",))
    assert shipped.name == name
