"""Laws of the runtime guard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_policy.contract import ActionChunk, Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.guard import DUTY, Disagreement, Guard, disagreement
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.model.policy import VlaPolicy

RECIPE = Recipe.from_dict({"methods": {"deepest_layers": {"keep": 2}}})


class Clock:
    """A clock that goes on by ``tick`` [s] each time that it is read."""

    def __init__(self) -> None:
        self.now, self.tick = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


@pytest.fixture
def plain() -> VlaPolicy:
    policy = VlaPolicy.random("test")
    torch.nn.init.normal_(policy.network.head.out.weight)
    return policy


@pytest.fixture
def observation() -> Observation:
    images = {name: np.full((32, 32, 3), 90, np.uint8) for name in ("front", "wrist")}
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32)
    return Observation(images, state, "pick up the red cube", stamp=1.0)


def look(guard: Guard, policy: VlaPolicy, observation: Observation) -> Disagreement | None:
    memory = policy.start(3)
    before = replace(memory)
    chunk = policy.infer([observation], [memory])[0]
    found = guard.look(observation, before, chunk)
    assert before == policy.start(3)
    return found


def test_disagreement_is_the_worst_of_what_may_be_executed() -> None:
    targets = np.zeros((16, 7), np.float32)
    other = targets.copy()
    other[2, 1], other[3, 5], other[9, 0] = 0.02, 0.1, 5.0
    found = disagreement(ActionChunk(targets, 0.0, 0.1), ActionChunk(other, 0.0, 0.1))
    assert found.millimetres == pytest.approx(20.0, rel=1e-4)
    assert found.degrees == pytest.approx(np.degrees(0.1), rel=1e-4)


def test_it_compares_with_the_plain_policy_and_the_same_noise(plain, observation) -> None:
    policy = accelerate(plain, RECIPE, [])
    guard = Guard(policy)
    guard.every, guard.spare = 1, 1e9
    one, other = (p.infer([observation], [p.start(3)])[0] for p in (policy, plain))
    assert look(guard, policy, observation) == disagreement(one, other)
    assert policy.plan.budget == policy.plan.default


def test_full_compute_needs_no_guard(plain, observation) -> None:
    policy = accelerate(plain, RECIPE, [])
    guard = Guard(policy)
    guard.every, guard.spare = 1, 1e9
    policy.plan.budget = replace(policy.plan.budget, language_layers=3)
    assert look(guard, policy, observation) is None


def test_it_looks_at_every_kth_chunk_and_takes_its_share_of_time_at_most(
    plain, observation
) -> None:
    policy, clock = accelerate(plain, RECIPE, []), Clock()
    guard = Guard(policy, clock=clock)
    guard.every, guard.spare = 3, 1e9
    looked = []
    clock.tick = 0.1  # a look reads the clock at its beginning and at its end
    for _ in range(6):
        looked.append(look(guard, policy, observation) is not None)
        clock.now += 10.0
    assert looked == [False, False, True, False, False, True]
    assert look(guard, policy, observation) is None
    guard.every = 1
    assert look(guard, policy, observation) is not None
    assert look(guard, policy, observation) is None  # its share is used up
    clock.now += 0.1 / DUTY
    assert look(guard, policy, observation) is not None


def test_it_does_not_look_when_the_next_chunk_would_be_late(plain, observation) -> None:
    policy = accelerate(plain, RECIPE, [])
    guard = Guard(policy)
    guard.every, guard.spare = 1, 0.0
    assert look(guard, policy, observation) is None


def test_a_policy_without_a_budget_has_no_guard(plain) -> None:
    with pytest.raises(PolicyError, match="adjustable"):
        Guard(plain)
