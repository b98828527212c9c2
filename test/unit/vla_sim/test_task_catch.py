"""Laws of the turntable and of the catch task: its scenes, its judgement and its expert."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from vla_sim.constants import CAMERAS, CONTROL_DT
from vla_sim.errors import SimulationError
from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.scene.fixtures.turntable import DISC_HEIGHT, DISC_RADIUS, Spin
from vla_sim.scene.scatter import REACH
from vla_sim.scene.things import THINGS
from vla_sim.simulation import Simulation
from vla_sim.tasks import draw_episode
from vla_sim.tasks.catch import INTERVAL, SPEED, Catch

SEEDS = range(200_000, 200_050)
STRAY = 0.005
"""Farthest that a riding object is from where the disc's angle puts it [m]."""


def test_all_that_rides_is_apart_and_in_reach() -> None:
    counts = set()
    for seed in SEEDS:
        layout = Catch().arrange(np.random.default_rng(seed), CAMERAS)
        counts.add(len(layout.items))
        assert len(set(layout.names)) == len(layout.names) and set(layout.names) <= set(THINGS)
        table = layout.fixture("turntable")
        centre = np.array([table.x, table.y])
        for index, item in enumerate(layout.items):
            away = np.array([item.x, item.y]) - centre
            assert item.z == DISC_HEIGHT
            assert np.linalg.norm(centre) + np.linalg.norm(away) <= REACH  # all the way round
            assert np.linalg.norm(away) + item.height / 2 < DISC_RADIUS
            for other in layout.items[:index]:
                gap = np.hypot(item.x - other.x, item.y - other.y)
                assert gap > max(item.radius, other.radius) + 0.058
    assert counts == {2, 3}


def test_the_disc_reverses_at_moments_nobody_can_foresee() -> None:
    for seed in SEEDS:
        spin = Catch().arrange(np.random.default_rng(seed), CAMERAS).spin
        assert spin is not None and SPEED[0] <= abs(spin.speed) <= SPEED[1]
        gaps = np.diff((0.0, *spin.turns))
        assert gaps.min() >= INTERVAL[0] and gaps.max() <= INTERVAL[1]
        assert np.std(gaps) > 0.2
        assert spin.turns[-1] > Catch.time_limit + 10.0  # and goes on beyond any episode


def test_the_angle_is_the_integral_of_the_velocity() -> None:
    spin = Spin(-0.7, (0.9, 2.0, 3.7))
    corners = [0.2, 0.9, 1.1, 2.0, 2.2, 3.7, 3.9]
    for time in (0.0, 0.1, 0.95, 2.5, 6.0):
        integral, _ = quad(spin.velocity, 0.0, time, points=corners, limit=200)
        assert spin.angle(time) == pytest.approx(integral, abs=1e-6)
    assert spin.velocity(0.0) == 0.0
    assert spin.velocity(0.5) == -0.7 and spin.velocity(1.5) == 0.7


@pytest.mark.parametrize(("turns", "ramp"), [((1.0, 1.1), 0.2), ((2.0, 1.0), 0.2), ((1.0,), 0.0)])
def test_a_spin_that_cannot_be_says_why(turns: tuple[float, ...], ramp: float) -> None:
    with pytest.raises(SimulationError, match="spin"):
        Spin(0.7, turns, ramp)


@pytest.mark.parametrize("seed", [200_000, 200_001])
def test_what_rides_turns_with_the_disc_as_training_assumes(
    simulation: Simulation, seed: int
) -> None:
    simulation.reset("catch", seed)
    truth = simulation.privileged()
    layout, spin = truth.layout, truth.layout.spin
    assert spin is not None
    table = layout.fixture("turntable")
    centre = np.array([table.x, table.y])
    target, gripper = simulation.joint_target()
    for _ in range(round(5.0 / CONTROL_DT)):
        simulation.step(target, gripper)
        angle = spin.angle(simulation.time)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for item in layout.items:
            expected = centre + turn @ (np.array([item.x, item.y]) - centre)
            assert np.linalg.norm(truth.position(item.name)[:2] - expected) < STRAY
            assert truth.position(item.name)[2] == pytest.approx(
                DISC_HEIGHT + item.height / 2, abs=0.002
            )
        assert not simulation.status().success
        assert not Catch().satisfied(truth, simulation.episode.aim)


def test_a_swap_names_another_object_of_the_same_turntable() -> None:
    for seed in SEEDS:
        _, layout, aim, sentence = draw_episode("catch", seed)
        _, same, other, _ = draw_episode("catch", seed, swap=True)
        assert same == layout and other.target != aim.target
        assert aim.goal is None and aim.target in sentence


@pytest.mark.parametrize("seed", [200_000, 200_001, 200_002])
def test_the_expert_catches_it_and_success_needs_the_hand(
    simulation: Simulation, seed: int
) -> None:
    episode = simulation.reset("catch", seed)
    truth, judge = simulation.privileged(), Catch()
    driver, expert = StepDriver(simulation), Expert(simulation, np.random.default_rng(0))
    driver.reset()
    while not simulation.status().success:
        assert simulation.time < episode.time_limit and driver.step(expert.act())
    lifted = truth.position(episode.target)[2] - truth.item(episode.target).height / 2
    assert lifted - DISC_HEIGHT >= judge.height
    pose = np.concatenate([truth.commanded_pose(), [0.08]])
    for _ in range(5):
        driver.step(pose)
    assert not judge.satisfied(truth, episode.aim)
