"""Laws of the push task: its scenes, its judgement and its expert."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vla_sim.constants import CAMERAS
from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.scene.fixtures.zone import SHEET_HEIGHT, ZONE_RADIUS
from vla_sim.scene.scatter import REACH
from vla_sim.scene.things import THINGS
from vla_sim.simulation import Simulation
from vla_sim.tasks import Aim, draw_episode
from vla_sim.tasks.push import HAND, LANE, PUSH, RUN_UP, Push, distance_to_stretch

SEEDS = range(200_000, 200_050)


def put(world: Simulation, name: str, place: np.ndarray, height: float = 0.0) -> None:
    """Stand an object somewhere else, at rest."""
    item = world.privileged().item(name)
    joint = world.data.joint(f"object{world.privileged().layout.items.index(item)}")
    joint.qpos[:3] = (place[0], place[1], SHEET_HEIGHT + height + item.height / 2)
    joint.qvel[:] = 0.0
    mujoco.mj_forward(world.model, world.data)


def test_every_object_can_be_pushed_to_every_zone() -> None:
    for seed in SEEDS:
        layout = Push().arrange(np.random.default_rng(seed), CAMERAS)
        assert len(set(layout.names)) == 5 and set(layout.names) <= set(THINGS)
        assert len(layout.items) == 3 and len(layout.of_kind("zone")) == 2
        zones = np.array([(zone.x, zone.y) for zone in layout.fixtures])
        assert np.linalg.norm(zones[0] - zones[1]) > 2 * ZONE_RADIUS
        for item in layout.items:
            start = np.array([item.x, item.y])
            others = np.array([(o.x, o.y) for o in layout.items if o is not item])
            assert np.linalg.norm(start) <= REACH
            for zone in zones:
                way = zone - start
                hand = start - RUN_UP * way / np.linalg.norm(way)
                assert PUSH[0] <= np.linalg.norm(way) <= PUSH[1]
                assert hand[0] >= HAND[0] and np.linalg.norm(hand) <= HAND[1]
                assert distance_to_stretch(others, hand, zone).min() >= LANE


def test_the_distance_is_that_from_a_stretch_and_not_from_its_line() -> None:
    points = np.array([[0.5, 0.2], [-0.3, 0.4], [1.0, 0.0]])
    distances = distance_to_stretch(points, np.array([0.0, 0.0]), np.array([1.0, 0.0]))
    assert np.allclose(distances, [0.2, 0.5, 0.0])


def test_nothing_is_done_at_the_start_and_a_scene_is_a_function_of_its_seed() -> None:
    for seed in SEEDS:
        _, layout, aim, sentence = draw_episode("push", seed)
        assert draw_episode("push", seed)[1:] == (layout, aim, sentence)
        assert aim.goal is not None and aim.target in sentence and aim.goal in sentence
        item, zone = layout.item(aim.target), layout.fixture(aim.goal)
        assert np.hypot(item.x - zone.x, item.y - zone.y) > ZONE_RADIUS + 0.02


def test_a_swap_names_another_object_of_the_same_scene() -> None:
    for seed in SEEDS:
        _, layout, aim, _ = draw_episode("push", seed)
        _, same, other, _ = draw_episode("push", seed, swap=True)
        assert same == layout and other.target != aim.target and other.goal == aim.goal


@pytest.mark.parametrize(
    ("away", "height", "done"), [(0.0, 0.0, True), (0.025, 0.0, True), (0.035, 0.0, False),
                                 (0.0, 0.02, False)]
)  # fmt: skip
def test_it_is_judged_by_the_middle_and_the_lower_side(
    simulation: Simulation, away: float, height: float, done: bool
) -> None:
    aim = simulation.reset("push", 200_003).aim
    truth = simulation.privileged()
    assert aim.goal is not None and not Push().satisfied(truth, aim)
    put(simulation, aim.target, truth.position(aim.goal)[:2] + (away, 0.0), height)
    assert Push().satisfied(truth, aim) is done
    other = next(name for name in Push().goals(truth.layout) if name != aim.goal)
    assert not Push().satisfied(truth, Aim(aim.target, other))


def test_what_moves_is_not_there_yet(simulation: Simulation) -> None:
    aim = simulation.reset("push", 200_003).aim
    truth = simulation.privileged()
    assert aim.goal is not None
    put(simulation, aim.target, truth.position(aim.goal)[:2])
    slot = truth.layout.items.index(truth.item(aim.target))
    simulation.data.joint(f"object{slot}").qvel[0] = 0.1
    mujoco.mj_forward(simulation.model, simulation.data)
    assert not Push().satisfied(truth, aim)


@pytest.mark.parametrize("seed", [200_000, 200_001, 200_002])
def test_the_expert_pushes_without_lifting(simulation: Simulation, seed: int) -> None:
    episode = simulation.reset("push", seed)
    truth = simulation.privileged()
    driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
    driver.reset()
    highest = 0.0
    while not simulation.status().success:
        assert simulation.time < episode.time_limit and driver.step(expert.act())
        highest = max(highest, float(truth.position(episode.target)[2]))
    assert highest < truth.item(episode.target).height / 2 + 0.01
    assert not truth.events.lifted


def test_the_expert_pushes_again_what_was_put_elsewhere(simulation: Simulation) -> None:
    episode = simulation.reset("push", 200_000)
    driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
    driver.reset()
    start = simulation.privileged().position(episode.target)[:2]
    while expert.phase != "push":
        driver.step(expert.act())
    for _ in range(4):
        driver.step(expert.act())
    put(simulation, episode.target, start + (0.0, 0.02))
    while not simulation.status().success:
        assert simulation.time < episode.time_limit and driver.step(expert.act())
