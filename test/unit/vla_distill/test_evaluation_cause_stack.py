"""Laws of the causes of failure where one object goes onto or into another thing."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from vla_distill.evaluation.cause import (
    NEVER_TOUCHED,
    TOPPLED,
    WRONG_GOAL,
    WRONG_OBJECT,
    WRONG_ORDER,
    Witness,
)
from vla_sim.simulation import Simulation
from vla_sim.tasks import draw_episode


@pytest.fixture(scope="module")
def simulation() -> Iterator[Simulation]:
    world = Simulation()
    yield world
    world.close()


def put(world: Simulation, name: str, on: str) -> None:
    """Stand an object on another."""
    truth = world.privileged()
    pose = world.data.joint(f"object{truth.layout.names.index(name)}").qpos
    pose[:3] = truth.top(on) + (0.0, 0.0, truth.item(name).height / 2)
    pose[3:] = (1.0, 0.0, 0.0, 0.0)
    mujoco.mj_forward(world.model, world.data)


def seed_with_three_cubes() -> int:
    """A scene where the target could go on another cube than the one that is named."""
    return next(
        seed
        for seed in range(200_000, 201_000)
        if len(draw_episode("stack", seed)[1].of_kind("cube")) == 3
    )


def test_stacks_of_the_wrong_things_are_told_apart(simulation: Simulation) -> None:
    seed = seed_with_three_cubes()
    aim = simulation.reset("stack", seed).aim
    assert aim.goal is not None
    (other,) = set(simulation.privileged().layout.names) - set(aim.names)
    stacks = {
        (other, aim.goal): WRONG_OBJECT,
        (aim.target, other): WRONG_GOAL,
        (aim.goal, aim.target): WRONG_ORDER,
    }
    for (upper, lower), cause in stacks.items():
        episode = simulation.reset("stack", seed)
        witness = Witness(simulation, episode)
        witness.see()
        assert witness.cause() == NEVER_TOUCHED
        put(simulation, upper, lower)
        witness.see()
        assert witness.cause() == cause


def test_a_peg_that_fell_over_is_toppled(simulation: Simulation) -> None:
    episode = simulation.reset("insert", 200_000)
    truth, witness = simulation.privileged(), Witness(simulation, episode)
    pose = simulation.data.joint(f"object{truth.layout.names.index(episode.target)}").qpos
    pose[:3] = truth.gripper_position()  # between the fingers' tips, yet not touched
    mujoco.mj_forward(simulation.model, simulation.data)
    witness.see()
    assert witness.cause() != TOPPLED
    pose[2] = truth.item(episode.target).size[0] / 2
    pose[3:] = (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)
    mujoco.mj_forward(simulation.model, simulation.data)
    witness.see()
    assert witness.cause() == TOPPLED
