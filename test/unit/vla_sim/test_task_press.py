"""Laws of the press task, and of the task that presses first."""

from __future__ import annotations

import numpy as np
import pytest

from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.scene.fixtures.button import BASE_RADIUS
from vla_sim.scene.layout import LayoutLimits
from vla_sim.scene.things import THINGS
from vla_sim.simulation import Simulation
from vla_sim.tasks import Aim, draw_episode, get_task

SEEDS = range(200_000, 200_050)
TASKS = ("press", "press_then_pick")


def solve(world: Simulation, aim: Aim | None = None) -> bool:
    driver, expert = StepDriver(world), Expert(world, np.random.default_rng(0), aim=aim)
    driver.reset()
    while not expert.done and world.time < world.episode.time_limit:
        assert driver.step(expert.act())
    return world.status().success


def idle(world: Simulation, ticks: int) -> None:
    target, gripper = world.joint_target()
    for _ in range(ticks):
        world.step(target, gripper)


@pytest.mark.parametrize("task", TASKS)
def test_a_hand_that_slips_off_a_button_has_room(task: str) -> None:
    for seed in SEEDS:
        _, layout, aim, _ = draw_episode(task, seed)
        assert all(name in THINGS for name in (*layout.names, *aim.names))
        assert len(set(layout.names)) == len(layout.names)
        buttons = [layout.fixture(name) for name in layout.of_kind("button")]
        assert len(buttons) >= 2
        for thing in (*buttons, *layout.items):
            assert np.hypot(thing.x, thing.y) <= LayoutLimits().reach
            for button in buttons:
                away = np.hypot(thing.x - button.x, thing.y - button.y)
                assert thing is button or away >= BASE_RADIUS + 0.08


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_done_at_the_start(simulation: Simulation, task: str) -> None:
    for seed in SEEDS:
        aim = simulation.reset(task, seed).aim
        truth = simulation.privileged()
        assert not get_task(task).satisfied(truth, aim) and not truth.events.pressed


def test_no_object_is_heavy_enough_for_a_button(simulation: Simulation) -> None:
    episode = simulation.reset("press", 200_000)
    truth = simulation.privileged()
    item, button = truth.layout.items[0], truth.layout.fixture(episode.target)
    pose = simulation.data.joint("object0").qpos
    pose[:3] = (button.x, button.y, 0.031 + item.height / 2)
    idle(simulation, 50)
    assert truth.position(item.name)[2] > 0.03 and not truth.events.pressed


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_it_without_a_refusal(simulation: Simulation, task: str) -> None:
    for seed in SEEDS[:3]:
        simulation.reset(task, seed)
        assert solve(simulation), f"seed {seed}"


def test_one_other_light_spoils_it(simulation: Simulation) -> None:
    aim = simulation.reset("press", 200_001).aim
    task, truth = get_task("press"), simulation.privileged()
    first, second = [name for name in truth.layout.of_kind("button") if name != aim.target]
    truth.events.pressed[aim.target] = 1.0
    assert task.satisfied(truth, aim) and not task.satisfied(truth, Aim(first))
    truth.events.pressed[second] = 2.0
    assert not task.satisfied(truth, aim)


def test_the_object_must_stay_down_until_the_button_is_pressed(simulation: Simulation) -> None:
    aim = simulation.reset("press_then_pick", 200_000).aim
    assert aim.goal is not None and solve(simulation)
    task, truth = get_task("press_then_pick"), simulation.privileged()
    assert truth.events.lifted[aim.target] > truth.events.pressed[aim.goal]
    truth.events.lifted[aim.target] = truth.events.pressed[aim.goal] - 0.5
    assert not task.satisfied(truth, aim)


@pytest.mark.parametrize("task", TASKS)
def test_swap_names_another_target_of_the_same_scene(task: str) -> None:
    for seed in SEEDS:
        _, layout, aim, _ = draw_episode(task, seed)
        _, same, other, _ = draw_episode(task, seed, swap=True)
        assert same == layout and other.target != aim.target and other.goal == aim.goal
