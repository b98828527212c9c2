"""Laws of the open task."""

from __future__ import annotations

import numpy as np

from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.scene.fixtures.drawer import DEPTH, KNOB, STROKE, WIDTH
from vla_sim.scene.layout import LayoutLimits
from vla_sim.scene.things import THINGS
from vla_sim.simulation import Simulation
from vla_sim.tasks import Aim, draw_episode, get_task

SEEDS = range(200_000, 200_050)


def idle(world: Simulation, ticks: int) -> None:
    target, gripper = world.joint_target()
    for _ in range(ticks):
        world.step(target, gripper)


def pull(world: Simulation, name: str, travel: float) -> None:
    slot = world._world.fixtures.slot(name)
    world.data.joint(f"{slot}/tray").qpos[0] = travel
    idle(world, 1)


def test_chests_face_the_base_and_objects_are_out_of_the_way() -> None:
    for seed in SEEDS:
        _, layout, aim, _ = draw_episode("open", seed)
        assert aim.goal is None and all(name in THINGS for name in layout.names)
        chests = [layout.fixture(name) for name in layout.of_kind("drawer")]
        assert len({chest.colour for chest in chests}) == 2
        for chest in chests:
            front, knob = chest.at((0.0, 0.0, 0.0)), chest.at((1.0, 0.0, 0.0))
            facing = (knob - front)[:2] @ -front[:2] / np.linalg.norm(front[:2])
            assert facing >= np.cos(np.radians(25.1))
            out = chest.at((KNOB[0] + STROKE, 0.0, 0.0))
            assert np.hypot(*out[:2]) > 0.19 and np.hypot(*front[:2]) <= LayoutLimits().reach
            for item in layout.items:
                x, y = np.array([item.x - chest.x, item.y - chest.y]) @ np.array(
                    [
                        [np.cos(chest.yaw), -np.sin(chest.yaw)],
                        [np.sin(chest.yaw), np.cos(chest.yaw)],
                    ]
                )
                beyond = max(-DEPTH - x, x - KNOB[0] - STROKE, abs(y) - WIDTH / 2)
                assert beyond > item.radius - 0.005


def test_nothing_is_open_at_the_start(simulation: Simulation) -> None:
    for seed in SEEDS:
        aim = simulation.reset("open", seed).aim
        assert not get_task("open").satisfied(simulation.privileged(), aim)


def test_only_the_named_drawer_counts_and_the_other_must_be_shut(simulation: Simulation) -> None:
    aim = simulation.reset("open", 200_000).aim
    truth, task = simulation.privileged(), get_task("open")
    (other,) = (name for name in task.targets(truth.layout) if name != aim.target)
    for travel, expected in ((0.04, False), (0.055, True)):
        pull(simulation, aim.target, travel)
        assert task.satisfied(truth, aim) is expected
    assert not task.satisfied(truth, Aim(other))
    pull(simulation, other, 0.02)
    assert not task.satisfied(truth, aim)


def test_an_open_drawer_stays_open(simulation: Simulation) -> None:
    aim = simulation.reset("open", 200_001).aim
    pull(simulation, aim.target, 0.055)
    idle(simulation, 60)
    assert simulation.status().success
    assert abs(simulation.privileged().travel(aim.target) - 0.055) < 0.001


def test_the_expert_solves_it_without_a_refusal(simulation: Simulation) -> None:
    for seed in SEEDS[:3]:
        simulation.reset("open", seed)
        driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
        driver.reset()
        while not expert.done and simulation.time < simulation.episode.time_limit:
            assert driver.step(expert.act())
        assert simulation.status().success, f"seed {seed}"


def test_the_expert_takes_hold_again_of_a_knob_that_slipped(simulation: Simulation) -> None:
    aim = simulation.reset("open", 200_002).aim
    truth = simulation.privileged()
    driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
    driver.reset()
    while truth.travel(aim.target) < 0.02:
        driver.step(expert.act())
    for _ in range(4):
        driver.step(np.concatenate([truth.commanded_pose(), [0.08]]))
    assert truth.travel(aim.target) < 0.045
    while not simulation.status().success:
        driver.step(expert.act())
        assert simulation.time < simulation.episode.time_limit


def test_swap_names_the_other_drawer_of_the_same_scene() -> None:
    for seed in SEEDS:
        _, layout, aim, _ = draw_episode("open", seed)
        _, same, other, _ = draw_episode("open", seed, swap=True)
        assert same == layout and {aim.target, other.target} == set(layout.of_kind("drawer"))
