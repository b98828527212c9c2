"""Laws of the causes of failure where buttons are to be pressed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vla_distill.evaluation.cause import (
    NEVER_TOUCHED,
    WRONG_GOAL,
    WRONG_OBJECT,
    WRONG_ORDER,
    Witness,
)
from vla_sim.simulation import Simulation


@pytest.fixture(scope="module")
def simulation() -> Iterator[Simulation]:
    world = Simulation()
    yield world
    world.close()


@pytest.mark.parametrize(
    ("task", "cause"), [("press", WRONG_OBJECT), ("press_then_pick", WRONG_GOAL)]
)
def test_a_button_that_was_not_named_is_the_cause(
    simulation: Simulation, task: str, cause: str
) -> None:
    episode = simulation.reset(task, 200_000)
    truth, witness = simulation.privileged(), Witness(simulation, episode)
    witness.see()
    assert witness.cause() == NEVER_TOUCHED
    stray = next(n for n in truth.layout.of_kind("button") if n not in episode.aim.names)
    truth.events.pressed[stray] = 1.0
    witness.see()
    assert witness.cause() == cause


@pytest.mark.parametrize("first", ["button", "object"])
def test_an_object_lifted_before_the_button_is_the_wrong_order(
    simulation: Simulation, first: str
) -> None:
    episode = simulation.reset("press_then_pick", 200_000)
    truth, witness = simulation.privileged(), Witness(simulation, episode)
    assert episode.goal is not None
    if first == "button":
        truth.events.pressed[episode.goal] = 0.5
    truth.events.lifted[episode.target] = 1.0
    witness.see()
    assert (witness.cause() == WRONG_ORDER) is (first == "object")
