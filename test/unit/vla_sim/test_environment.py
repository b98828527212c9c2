"""The Gymnasium face of the world."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vla_sim
from vla_sim.environment import TaskEnvironment
from vla_sim.errors import SimulationError


def test_every_task_has_an_environment() -> None:
    for task in vla_sim.TASKS:
        specification = gymnasium.spec(f"vla_sim/{task.capitalize()}-v0")
        assert specification.kwargs == {"task": task}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasium_is_content() -> None:
    environment = gymnasium.make("vla_sim/Place-v0", render_mode="rgb_array")
    check_env(environment.unwrapped)
    environment.close()


def test_staying_put_ends_late_and_without_reward() -> None:
    environment = TaskEnvironment("reach", time_limit=0.5)
    observation, _ = environment.reset(seed=1)
    rewards, ended = [], False
    while not ended:
        state = observation["state"]
        observation, reward, success, late, info = environment.step(np.delete(state, 6))
        rewards.append(reward)
        ended = success or late
        assert info["accepted"]
    environment.close()
    assert late and not success and rewards == [0.0] * 5


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SimulationError, match="reach"):
        TaskEnvironment("dance")
    with pytest.raises(SimulationError, match="rgb_array"):
        TaskEnvironment("reach", render_mode="smell")
    environment = TaskEnvironment("reach")
    with pytest.raises(SimulationError, match="swap"):
        environment.reset(seed=0, options={"swapped": True})
    environment.close()
