"""Laws of inserting: its scenes, what counts as inserted, and that the expert does it."""

from __future__ import annotations

import numpy as np
import pytest

from vla_sim.constants import CAMERAS
from vla_sim.experts import Expert
from vla_sim.experts.carry import FINGERTIP
from vla_sim.experts.driver import StepDriver
from vla_sim.instructions import SETS
from vla_sim.scene.fixtures.socket import HOLE, SOCKET_HEIGHT, SOCKET_WALL, Socket
from vla_sim.scene.groups import yaw_quaternion
from vla_sim.scene.items import PEG
from vla_sim.scene.scatter import FINGER_ROOM
from vla_sim.scene.things import THINGS
from vla_sim.simulation import Simulation
from vla_sim.tasks import draw_episode
from vla_sim.tasks.insert import REACH, Insert

SEED = 200_300


def put(world: Simulation, name: str, shift: float = 0.0, height: float = 0.0) -> None:
    """Stand a peg in the socket, ``shift`` aside and ``height`` above the table [m]."""
    truth = world.privileged()
    socket = truth.layout.fixture("socket")
    slot = truth.layout.names.index(name)
    pose = world.data.joint(f"object{slot}").qpos
    pose[:3] = socket.at((shift, 0.0, truth.item(name).height / 2 + height))
    pose[3:] = yaw_quaternion(socket.yaw)


def wait(world: Simulation, ticks: int) -> None:
    target, gripper = world.joint_target()
    for _ in range(ticks):
        world.step(target, gripper)


@pytest.mark.parametrize("seed", range(SEED, SEED + 30))
def test_scenes_have_room_and_known_names(seed: int) -> None:
    layout = Insert().arrange(np.random.default_rng(seed), CAMERAS)
    assert len(set(layout.names)) == 4 and set(layout.names) <= set(THINGS)
    assert len(Insert().targets(layout)) in (2, 3)
    (socket,) = layout.fixtures
    for i, item in enumerate(layout.items):
        assert np.hypot(item.x, item.y) <= REACH
        away = np.hypot(item.x - socket.x, item.y - socket.y)
        assert away >= Socket.radius + FINGER_ROOM
        for other in layout.items[:i]:
            gap = np.hypot(item.x - other.x, item.y - other.y)
            assert gap >= max(item.radius, other.radius) + FINGER_ROOM


def test_every_peg_fits_and_leaves_the_fingers_above_the_socket() -> None:
    assert np.hypot(1.0, 1.0) * (HOLE / 2 + SOCKET_WALL) <= Socket.radius
    for seed in range(SEED, SEED + 50):
        layout = Insert().arrange(np.random.default_rng(seed), CAMERAS)
        for name in layout.of_kind(PEG):
            peg = layout.item(name)
            assert peg.size[0] + 0.006 < HOLE
            assert peg.height - 0.026 - FINGERTIP > SOCKET_HEIGHT  # held 26 mm under its top


@pytest.mark.parametrize("words", SETS)
def test_a_swap_names_another_peg(words: str) -> None:
    for seed in range(SEED, SEED + 20):
        _, layout, aim, sentence = draw_episode("insert", seed, words)
        _, same, other, _ = draw_episode("insert", seed, words, swap=True)
        assert layout == same and aim.target != other.target
        assert {layout.item(name).kind for name in (aim.target, other.target)} == {PEG}
        assert aim.target in sentence and "socket" in sentence


def test_a_peg_in_the_hole_is_inserted(simulation: Simulation) -> None:
    aim = simulation.reset("insert", SEED).aim
    put(simulation, aim.target)
    wait(simulation, 60)
    assert simulation.status().success
    assert simulation.status().progress == 1.0


@pytest.mark.parametrize("shift, height", [(0.0, 0.015), (0.0225, SOCKET_HEIGHT), (0.06, 0.0)])
def test_over_on_the_rim_or_beside_is_not(
    simulation: Simulation, shift: float, height: float
) -> None:
    aim = simulation.reset("insert", SEED).aim
    put(simulation, aim.target, shift, height)
    wait(simulation, 1)
    assert not Insert().satisfied(simulation.privileged(), aim)


def test_another_peg_in_the_hole_is_not(simulation: Simulation) -> None:
    other = simulation.reset("insert", SEED, swap=True).target
    simulation.reset("insert", SEED)
    put(simulation, other)
    wait(simulation, 60)
    assert not simulation.status().success


def test_no_scene_begins_inserted(simulation: Simulation) -> None:
    for seed in range(SEED, SEED + 50):
        aim = simulation.reset("insert", seed).aim
        assert not Insert().satisfied(simulation.privileged(), aim)


@pytest.mark.parametrize("seed", [SEED, SEED + 1, SEED + 2])
def test_the_expert_inserts(simulation: Simulation, seed: int) -> None:
    episode = simulation.reset("insert", seed)
    driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
    driver.reset()
    accepted = True
    while not expert.done and simulation.time < episode.time_limit:
        accepted &= driver.step(expert.act())
    assert accepted and simulation.status().success
