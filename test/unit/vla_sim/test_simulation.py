"""Laws of the world: determinism, counterfactual instructions, refusal of bad input."""

from __future__ import annotations

import numpy as np
import pytest

from vla_sim.constants import CAMERAS, CONTROL_DT, IMAGE_SIZE
from vla_sim.errors import SimulationError
from vla_sim.scene.groups import PARKED
from vla_sim.simulation import Simulation
from vla_sim.tasks import TASKS


def state_bytes(world: Simulation) -> bytes:
    return world.data.qpos.tobytes() + world.data.qvel.tobytes()


def pictures(world: Simulation) -> bytes:
    return b"".join(world.render(camera).tobytes() for camera in CAMERAS)


def wander(world: Simulation, ticks: int = 25) -> None:
    """The same arbitrary motion each time."""
    home, _ = world.joint_target()
    for tick in range(ticks):
        world.step(home + 0.1 * np.sin(0.2 * tick + np.arange(6)), 0.04)


@pytest.mark.parametrize("task", list(TASKS))
def test_the_same_seed_gives_the_same_bytes_whatever_came_before(
    simulation: Simulation, task: str
) -> None:
    runs = []
    for before in (1, 2):
        simulation.reset("pick", before)
        wander(simulation)
        episode = simulation.reset(task, 11)
        start = pictures(simulation)
        wander(simulation)
        runs.append((episode, start, pictures(simulation), state_bytes(simulation)))
    assert runs[0] == runs[1]


def test_another_world_gives_the_same_bytes(simulation: Simulation) -> None:
    other = Simulation()
    results = []
    for world in (simulation, other):
        world.reset("place", 3)
        wander(world)
        results.append((pictures(world), state_bytes(world)))
    other.close()
    assert results[0] == results[1]


def test_other_seeds_give_other_scenes(simulation: Simulation) -> None:
    seen = set()
    for seed in range(6):
        simulation.reset("pick", seed)
        seen.add(pictures(simulation))
    assert len(seen) == 6


@pytest.mark.parametrize("task", list(TASKS))
def test_swap_names_another_object_of_the_very_same_scene(
    simulation: Simulation, task: str
) -> None:
    for seed in range(5):
        plain = simulation.reset(task, seed)
        before = pictures(simulation), state_bytes(simulation)
        swapped = simulation.reset(task, seed, swap=True)
        assert (pictures(simulation), state_bytes(simulation)) == before
        assert swapped.objects == plain.objects
        assert swapped.target != plain.target and swapped.goal == plain.goal
        assert swapped.target in swapped.instruction


def test_the_set_of_phrasings_changes_nothing_but_the_sentence(simulation: Simulation) -> None:
    plain = simulation.reset("place", 4)
    before = state_bytes(simulation)
    other = simulation.reset("place", 4, instructions="new_words")
    assert state_bytes(simulation) == before
    assert (other.target, other.goal) == (plain.target, plain.goal)
    assert other.instruction != plain.instruction


def test_time_counts_in_control_ticks(simulation: Simulation) -> None:
    simulation.reset("reach", 0)
    wander(simulation, 50)
    assert simulation.time == pytest.approx(50 * CONTROL_DT)
    assert simulation.joint_state().stamp == simulation.time


def test_objects_rest_while_nothing_moves(simulation: Simulation) -> None:
    for seed in range(5):
        episode = simulation.reset("pick", seed)
        truth = simulation.privileged()
        before = [truth.position(name) for name in episode.objects]
        target, gripper = simulation.joint_target()
        for _ in range(50):
            simulation.step(target, gripper)
        after = [truth.position(name) for name in episode.objects]
        assert np.abs(np.subtract(after, before)).max() < 1e-3


def test_pictures_have_the_size_asked_for(simulation: Simulation) -> None:
    simulation.reset("reach", 0)
    assert simulation.render("front").shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert simulation.render("wrist", (48, 64)).shape == (48, 64, 3)
    assert simulation.render("wrist").dtype == np.uint8


@pytest.mark.parametrize("task", list(TASKS))
def test_things_that_are_parked_would_not_be_seen(simulation: Simulation, task: str) -> None:
    for seed in range(3):
        simulation.reset(task, seed)
        wander(simulation, 5)
        before, groups = pictures(simulation), simulation.model.geom_group.copy()
        simulation.model.geom_group[simulation.data.geom_xpos[:, 2] < PARKED / 2] = 0
        assert (simulation.model.geom_group != groups).any()
        assert pictures(simulation) == before
        simulation.model.geom_group[:] = groups


def test_keypoints_are_the_named_things(simulation: Simulation) -> None:
    episode = simulation.reset("place", 2)
    points, truth = simulation.keypoints(), simulation.privileged()
    assert np.array_equal(points["target"], truth.position(episode.target))
    assert episode.goal is not None
    assert np.array_equal(points["goal"], truth.position(episode.goal))
    simulation.reset("pick", 2)
    points = simulation.keypoints()
    assert np.array_equal(points["target"], points["goal"])


def test_bad_input_is_refused(simulation: Simulation) -> None:
    with pytest.raises(SimulationError, match="reach"):
        simulation.reset("dance", 0)
    with pytest.raises(SimulationError, match="new_words"):
        simulation.reset("pick", 0, instructions="poems")
    with pytest.raises(SimulationError, match="seed"):
        simulation.reset("pick", -1)
    simulation.reset("pick", 0)
    with pytest.raises(SimulationError, match="front"):
        simulation.render("back")
    with pytest.raises(SimulationError, match="finite"):
        simulation.step(np.full(6, np.nan), 0.0)
    with pytest.raises(SimulationError, match="finite"):
        simulation.step(np.zeros(5), 0.0)
    with pytest.raises(SimulationError, match="reset"):
        Simulation().status()
    with pytest.raises(SimulationError, match="front"):
        Simulation(cameras=("back",))
