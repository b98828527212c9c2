"""A Gymnasium environment as a user would bring one: a point, a button to its left or right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from vla_distill.environments.box_action import BoxAction
from vla_distill.environments.description import EnvironmentDescription

SIDES = {"left": -1.0, "right": 1.0}
SIZE = 32
REACH = 0.4
"""Half of what a picture shows [m]."""
STEP = 0.04
"""Displacement that 1 stands for [m]."""


class Button(gymnasium.Env):
    """The hand follows the commands with a lag; done when it is at the button and closed."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (7,), np.float64)

    def __init__(self, side: str) -> None:
        self._side = SIDES[side]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.hand = self.goal = np.zeros(3)
        self.button = self.np_random.uniform(-0.05, 0.05, 3) + [0.2 * self._side, 0.0, 0.0]
        self.closed, self._steps = 0.0, 0
        return self._observe(), {}

    def step(self, action: np.ndarray):
        assert self.action_space.contains(action)
        self.goal = np.clip(self.goal + STEP * action[:3], -REACH, REACH)
        self.hand = self.hand + 0.7 * (self.goal - self.hand)
        self.closed += 0.5 * ((action[3] + 1) / 2 - self.closed)
        self._steps += 1
        near = np.linalg.norm(self.hand - self.button) < 0.02
        info = {"success": bool(near and self.closed > 0.8)}
        return self._observe(), 0.0, False, self._steps >= 60, info

    def render(self) -> np.ndarray:
        """From above: the button green, the hand red."""
        picture = np.full((SIZE, SIZE, 3), 90, np.uint8)
        for point, color in ((self.button, (0, 255, 0)), (self.hand, (255, 0, 0))):
            column, row = pixel(point)
            picture[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = color
        return picture

    def _observe(self) -> np.ndarray:
        return np.concatenate([self.hand, self.button, [self.closed]])


def pixel(point: np.ndarray) -> tuple[int, int]:
    """Column and row of a point in the picture."""
    column, row = np.round((point[:2] / REACH + 1) / 2 * (SIZE - 1)).astype(int)
    return int(column), int(row)


def press(task: str):
    """The scripted expert: go there, then close."""
    assert task in SIDES

    def act(observation: np.ndarray) -> np.ndarray:
        way = observation[3:6] - observation[:3]
        closing = 1.0 if np.linalg.norm(way) < 0.015 else -1.0
        return np.append(np.clip(way / STEP / 2, -1, 1), closing)

    return act


def measured(env: gymnasium.Env, observation: np.ndarray) -> np.ndarray:
    """Shape (7,); the hand never turns."""
    return np.array([*observation[:3], 0.0, 0.0, 0.0, 0.08 * (1 - observation[6])])


def describe() -> EnvironmentDescription:
    """Two steps of the environment a chunk step; commands are added up."""
    return EnvironmentDescription(
        name="button",
        tasks={side: f"press the button on the {side}" for side in SIDES},
        make=Button,
        action=BoxAction(scale=STEP, gripper=3, gripper_open=-1.0, gripper_closed=1.0),
        measured=measured,
        ticks=2,
        time_limit=3.0,
        image_size=SIZE,
        expert="tiny_environment:press",
    )


def describe_steered() -> EnvironmentDescription:
    """The same, told where the environment steers to."""
    return replace(describe(), commanded=lambda env: env.unwrapped.goal)


def describe_without_expert() -> EnvironmentDescription:
    """Nobody to learn from."""
    return replace(describe(), expert="")


def describe_two_cameras() -> EnvironmentDescription:
    """Says that there is a camera which is not."""
    return replace(describe(), cameras=("front", "wrist"))


def describe_buttons() -> EnvironmentDescription:
    """An environment whose actions are no Box."""

    class Discrete(Button):
        action_space = gymnasium.spaces.Discrete(4)

    return replace(describe(), make=Discrete)


def describe_narrow() -> EnvironmentDescription:
    """A Box with too few numbers."""

    class Narrow(Button):
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)

    return replace(describe(), make=Narrow)


def describe_lost() -> EnvironmentDescription:
    """Says that the hand is nowhere."""
    return replace(describe(), measured=lambda env, observation: np.full(7, np.nan))


def describe_nothing() -> str:
    """No description at all."""
    return "button"
