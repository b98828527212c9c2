"""Laws of choosing layers for each observation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_efficiency import observations

from vla_policy.contract import ComputeReport, Memory
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.layers import Moment
from vla_policy.efficiency.layers.router import LayerRouter
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.model.actions import Statistics
from vla_policy.model.config import RouterConfig, preset
from vla_policy.model.network import VlaNetwork
from vla_policy.model.plan import TokenStates
from vla_policy.model.policy import VlaPolicy

SEEN = observations(6)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def plain() -> VlaPolicy:
    torch.manual_seed(0)
    config = replace(preset("test"), router=RouterConfig(width=8))
    network = VlaNetwork(config)
    torch.nn.init.normal_(network.head.out.weight)
    words = VlaPolicy.random("test").tokenizer
    return VlaPolicy(network, words, Statistics.identity(config.horizon))


def routed(policy: VlaPolicy, **options: object) -> VlaPolicy:
    recipe = Recipe.from_dict({"methods": {"layer_router": {"keep": 2, **options}}}, "routed")
    return accelerate(policy, recipe, SEEN)


class Says:
    """A router with fixed scores."""

    def __init__(self, *scores: list[float]) -> None:
        self._scores = torch.tensor(scores)

    def __call__(self, tokens: object) -> torch.Tensor:
        return self._scores


def opened(scores: list[float], ran: set[int] | None, **options: float) -> set[int]:
    """What runs of three layers at a threshold of 0."""
    nothing = torch.zeros(1, 1, 1)
    tokens = TokenStates(
        hidden=nothing,
        visual=slice(0, 1),
        text=slice(0, 0),
        present=nothing,
        rotary=(nothing, nothing),
        layers=(),
        router=Says(scores),
    )
    moment = Moment(0, 0, None if ran is None else frozenset(ran))
    return set(LayerRouter(keep=2, **options).open(tokens, 2, 3, (9.0, 0.0), [moment])[0])


def test_a_layer_runs_iff_its_score_is_at_least_the_threshold() -> None:
    assert opened([0.5, -0.5, 0.0], None) == {0, 2}


def test_the_layer_with_the_highest_score_always_runs() -> None:
    assert opened([-3.0, -1.0, -2.0], None) == {1}


def test_what_ran_goes_on_and_what_did_not_stays_off_near_the_threshold() -> None:
    near = [0.05, -0.05, 2.0]
    assert opened(near, {0, 2}, hysteresis=0.1) == {0, 2}
    assert opened(near, {1, 2}, hysteresis=0.1) == {1, 2}
    assert opened(near, {1, 2}, hysteresis=0.0) == {0, 2}
    far = [0.2, -0.2, 2.0]
    assert opened(far, {0, 2}, hysteresis=0.1) == opened(far, {1, 2}, hysteresis=0.1) == {0, 2}


def test_scores_that_tremble_about_the_threshold_do_not_make_it_flicker() -> None:
    rng = np.random.default_rng(0)
    ran, changes = {0, 2}, 0
    for _ in range(50):
        now = opened([*rng.uniform(-0.09, 0.09, 2).tolist(), 2.0], ran, hysteresis=0.1)
        changes += now != ran
        ran = now
    assert changes == 0


def test_the_memory_of_an_episode_is_its_last_chunk(plain: VlaPolicy) -> None:
    """So a chunk is a function of its observation, its seed and the chunk before."""
    policy = routed(plain, hysteresis=100.0)
    memory = policy.start(0)
    first = policy.infer([SEEN[0]], [memory])[0]
    other = next(
        chunk
        for chunk in (policy.infer([each], [policy.start(0)])[0] for each in SEEN)
        if chunk.report.layers_run != first.report.layers_run
    )
    second = policy.infer([SEEN[1]], [replace(memory)])[0]
    again = policy.infer([SEEN[1]], [Memory(0, 1, previous=first)])[0]
    assert second.targets.tobytes() == again.targets.tobytes()
    moved = policy.infer([SEEN[1]], [Memory(0, 1, previous=other)])[0]
    for before, after in ((first, second), (other, moved)):  # and the best always runs
        assert set(before.report.layers_run) <= set(after.report.layers_run)
        assert len(after.report.layers_run) <= len(before.report.layers_run) + 1


def test_rows_of_a_batch_are_routed_by_themselves(plain: VlaPolicy) -> None:
    policy = routed(plain)
    together = policy.infer(SEEN, [policy.start(seed) for seed in range(6)])
    assert len({chunk.report.layers_run for chunk in together}) > 1
    costs = set()
    for seed, (seen, chunk) in enumerate(zip(SEEN, together, strict=True)):
        alone = policy.infer([seen], [policy.start(seed)])[0]
        assert chunk.report.layers_run == alone.report.layers_run
        np.testing.assert_allclose(chunk.targets, alone.targets, atol=5e-4)
        costs.add((len(chunk.report.layers_run), chunk.report.gflops))
    assert len(costs) == len({layers for layers, _ in costs})  # as many layers, as much cost


def test_the_budget_is_met_on_average_and_moves_while_it_runs(plain: VlaPolicy) -> None:
    policy = routed(plain)
    for layers in (1, 2, 3):
        policy.plan.budget = replace(policy.plan.budget, language_layers=layers)
        chunks = policy.infer(SEEN, [policy.start(0) for _ in SEEN])
        run = [len(chunk.report.layers_run) for chunk in chunks]
        assert np.mean(run) == pytest.approx(layers, abs=0.4)
        if layers == 3:  # in full
            full = plain.infer(SEEN, [plain.start(0) for _ in SEEN])
            assert [c.targets.tobytes() for c in chunks] == [c.targets.tobytes() for c in full]


def test_a_routed_chunk_is_told_from_one_of_another_budget_by_what_is_fixed(plain) -> None:
    plan = routed(plain).plan
    report = ComputeReport(layers_run=(0,), visual_tokens=(8, 8), head_steps=(3, 3))
    assert plan.can_have_made(report)  # two on average
    assert not plan.can_have_made(replace(report, head_steps=(2, 2)))
    plan.budget = replace(plan.budget, language_layers=3)
    assert not plan.can_have_made(report)


def test_a_student_takes_tokens_and_cache_on_and_keeps_its_thresholds(plain: VlaPolicy) -> None:
    student = routed(plain)
    more = {
        "layer_router": {"keep": 2},
        "uniform_tokens": {"keep": 4},
        "head_cache": {"interval": 2},
    }
    fast = accelerate(student, Recipe.from_dict({"methods": more}, "fast"), [])
    assert fast.plan.recipe.thresholds == student.plan.recipe.thresholds
    chunk = fast.infer([SEEN[0]], [fast.start(0)])[0]
    assert chunk.report.visual_tokens == (8, 4) and chunk.report.head_steps[1] == 2
    with pytest.raises(PolicyError, match="routed"):
        other = {"layer_router": {"keep": 1}, "head_cache": {"interval": 2}}
        accelerate(student, Recipe.from_dict({"methods": other}), SEEN)


def test_a_policy_without_a_router_cannot_follow_one() -> None:
    with pytest.raises(PolicyError, match="layer_router: got no router"):
        routed(VlaPolicy.random("test"))


def test_the_guard_asks_no_more_layers_than_the_network_was_taught_with(plain) -> None:
    recipe = {"layer_router": {"keep": 2}, "few_steps": {"steps": 1}}
    policy = accelerate(plain, Recipe.from_dict({"methods": recipe}, "routed"), SEEN)
    plan = policy.plan
    assert plan.default.head_steps == 1 < plan.whole.head_steps
    assert plan.default.language_layers == plan.whole.language_layers == 2 < 3
