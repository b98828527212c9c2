"""Laws of stacking: its scenes, what counts as stacked, and that the expert does it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla_sim.constants import CAMERAS
from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.instructions import SETS
from vla_sim.scene.scatter import FINGER_ROOM
from vla_sim.scene.things import THINGS
from vla_sim.simulation import Simulation
from vla_sim.tasks import draw_episode
from vla_sim.tasks.stack import REACH, Stack

SEED = 200_300


def put(world: Simulation, name: str, on: str, shift: float = 0.0, gap: float = 0.0) -> None:
    """Stand an object on another, ``shift`` aside and ``gap`` above it [m]."""
    truth = world.privileged()
    slot = truth.layout.names.index(name)
    pose = world.data.joint(f"object{slot}").qpos
    height = truth.item(name).height / 2 + gap
    pose[:3] = truth.top(on) + (shift, 0.0, height)
    pose[3:] = (1.0, 0.0, 0.0, 0.0)


def _target(seed: int) -> str:
    return draw_episode("stack", seed)[2].target


def wait(world: Simulation, ticks: int) -> None:
    target, gripper = world.joint_target()
    for _ in range(ticks):
        world.step(target, gripper)


@pytest.mark.parametrize("seed", range(SEED, SEED + 30))
def test_scenes_have_room_and_known_names(seed: int) -> None:
    layout = Stack().arrange(np.random.default_rng(seed), CAMERAS)
    assert len(set(layout.names)) == 3 and set(layout.names) <= set(THINGS)
    assert layout.items[0].kind == "cube"
    for i, item in enumerate(layout.items):
        assert np.hypot(item.x, item.y) <= REACH
        for other in layout.items[:i]:
            gap = np.hypot(item.x - other.x, item.y - other.y)
            assert gap >= max(item.radius, other.radius) + FINGER_ROOM


@pytest.mark.parametrize("words", SETS)
def test_a_swap_names_the_other_object_and_the_same_cube(words: str) -> None:
    for seed in range(SEED, SEED + 20):
        _, layout, aim, sentence = draw_episode("stack", seed, words)
        _, same, other, _ = draw_episode("stack", seed, words, swap=True)
        assert layout == same and aim.target != other.target and aim.goal == other.goal
        assert aim.target in sentence and str(aim.goal) in sentence


def test_what_stands_on_the_cube_is_stacked(simulation: Simulation) -> None:
    aim = simulation.reset("stack", SEED).aim
    assert aim.goal is not None
    put(simulation, aim.target, aim.goal)
    wait(simulation, 60)
    assert simulation.status().success
    assert simulation.status().progress == 1.0


@pytest.mark.parametrize("roll", [0.0, 0.4, 0.8])
def test_a_cylinder_on_its_side_counts_however_it_has_rolled(
    simulation: Simulation, roll: float
) -> None:
    seed = next(s for s in range(SEED, SEED + 99) if "cylinder" in _target(s))
    aim = simulation.reset("stack", seed).aim
    assert aim.goal is not None
    truth = simulation.privileged()
    radius = truth.item(aim.target).size[0] / 2
    pose = simulation.data.joint(f"object{truth.layout.names.index(aim.target)}").qpos
    pose[:3] = truth.top(aim.goal) + (0.0, 0.0, radius)
    turn = Rotation.from_euler("y", np.pi / 2) * Rotation.from_euler("z", roll)
    pose[3:] = turn.as_quat(scalar_first=True)
    mujoco.mj_forward(simulation.model, simulation.data)
    assert Stack().satisfied(truth, aim)
    assert truth.top(aim.target)[2] == pytest.approx(truth.top(aim.goal)[2] + 2 * radius)


@pytest.mark.parametrize("shift, gap", [(0.0, 0.02), (0.021, 0.0)])
def test_above_or_beside_is_not_stacked(simulation: Simulation, shift: float, gap: float) -> None:
    aim = simulation.reset("stack", SEED).aim
    assert aim.goal is not None
    put(simulation, aim.target, aim.goal, shift, gap)
    wait(simulation, 1)
    assert not Stack().satisfied(simulation.privileged(), aim)


def test_the_order_counts(simulation: Simulation) -> None:
    aim = simulation.reset("stack", SEED).aim
    assert aim.goal is not None
    put(simulation, aim.goal, aim.target)
    wait(simulation, 60)
    assert not simulation.status().success


def test_no_scene_begins_stacked(simulation: Simulation) -> None:
    for seed in range(SEED, SEED + 50):
        aim = simulation.reset("stack", seed).aim
        assert not Stack().satisfied(simulation.privileged(), aim)


@pytest.mark.parametrize("seed", [SEED, SEED + 1, SEED + 2])
def test_the_expert_stacks(simulation: Simulation, seed: int) -> None:
    episode = simulation.reset("stack", seed)
    driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
    driver.reset()
    accepted = True
    while not expert.done and simulation.time < episode.time_limit:
        accepted &= driver.step(expert.act())
    assert accepted and simulation.status().success
