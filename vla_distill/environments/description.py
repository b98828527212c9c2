"""What has to be known of a Gymnasium environment to collect, train and evaluate in it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from vla_distill.dataset import layout
from vla_distill.environments.box_action import BoxAction
from vla_distill.environments.errors import AdapterError
from vla_policy.contract import validate_instruction

KNOWN = {"metaworld": "vla_distill.environments.metaworld:describe"}
"""Environments that come with a description, by their short names."""

Environment = gymnasium.Env[Any, Any]
Expert = Callable[[Any], ArrayLike]
"""Observation -> numbers of the Box action."""


def rendered(env: Environment, observation: Any) -> Mapping[str, Any]:
    """The picture of ``env.render()`` as that of the front camera."""
    return {"front": env.render()}


def noted_success(info: Mapping[str, Any]) -> bool:
    """Whether the environment's info says ``success`` or ``is_success``."""
    return bool(info.get("success", info.get("is_success", False)))


@dataclass(frozen=True)
class EnvironmentDescription:
    """A Gymnasium environment with pictures and a Box action that moves an end effector.

    Positions are in whatever axes the environment has [m]; they become those of the base frame.

    Attributes:
        name: short name of the environment; its datasets name it as their robot.
        tasks: task -> instruction.
        make: makes the environment of a task.
        action: what the numbers of its action mean.
        measured: (environment, observation) -> position [m], rotation vector [rad] and gripper
            opening [m] of the end effector. Shape (7,).
        commanded: environment -> position [m] that it steers to, Shape (3,); None if it does not
            say, and the commands are added up.
        ticks: steps of the environment that make a chunk step (0.1 s; if that is another time in
            the environment, all times are nominal).
        time_limit: time after which an episode has failed [s].
        cameras: names of the pictures.
        images: (environment, observation) -> picture of each camera. Shape (H, W, 3), uint8, RGB.
        image_size: side of the pictures in datasets [px]; they are resized to it.
        success: info of a step -> whether the task is done.
        expert: ``module:factory`` of the scripted expert; the factory takes a task and gives
            observation -> numbers of the Box. Empty without one: then nothing can be collected.
        keypoints: (environment, observation) -> position of the object and of the goal [m],
            Shape (6,), for a loss in training only; None if nobody knows.
    """

    name: str
    tasks: Mapping[str, str]
    make: Callable[[str], Environment]
    action: BoxAction
    measured: Callable[[Environment, Any], ArrayLike]
    commanded: Callable[[Environment], ArrayLike] | None = None
    ticks: int = 1
    time_limit: float = 10.0
    cameras: tuple[str, ...] = ("front",)
    images: Callable[[Environment, Any], Mapping[str, Any]] = rendered
    image_size: int = 96
    success: Callable[[Mapping[str, Any]], bool] = noted_success
    expert: str = ""
    keypoints: Callable[[Environment, Any], ArrayLike] | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.tasks or not self.cameras:
            got = (self.name, list(self.tasks), self.cameras)
            raise AdapterError("name, tasks, cameras", got=got, expected="at least one of each")
        for text in self.tasks.values():
            validate_instruction(text)
        if not (self.ticks >= 1 and self.image_size >= 1 and 0.0 < self.time_limit < np.inf):
            raise AdapterError(
                "ticks, image_size, time_limit",
                got=(self.ticks, self.image_size, self.time_limit),
                expected="1 or more, 1 or more, more than 0",
            )

    @property
    def robot(self) -> str:
        """What datasets name as the robot."""
        return layout.GYMNASIUM_PREFIX + self.name

    def pick_tasks(self, names: str) -> tuple[str, ...]:
        """The named tasks, separated by commas; all of them if empty.

        Raises:
            AdapterError: a name that the environment does not have.
        """
        wanted = tuple(name.strip() for name in names.split(",") if name.strip())
        for name in wanted:
            if name not in self.tasks:
                raise AdapterError(f"task of {self.name}", got=name, expected=list(self.tasks))
        return tuple(dict.fromkeys(wanted)) or tuple(self.tasks)

    def make_expert(self, task: str) -> Expert:
        """The scripted expert of a task.

        Raises:
            AdapterError: there is none.
        """
        if not self.expert:
            raise AdapterError(
                f"expert of {self.name}", got="none", expected="module:factory in its description"
            )
        return resolve(self.expert, "expert")(task)


def load_description(env: str) -> EnvironmentDescription:
    """The description that ``--env`` names.

    Args:
        env: a name of :data:`KNOWN`, or ``module:factory``, where the factory takes nothing and
            returns a description.

    Raises:
        AdapterError: it cannot be imported, or is something else.
    """
    found = resolve(KNOWN.get(env, env), "--env")()
    if not isinstance(found, EnvironmentDescription):
        raise AdapterError(f"--env {env}", got=type(found).__name__, expected="a description")
    return found


def resolve(path: str, what: str) -> Callable[..., Any]:
    """What ``module:name`` names.

    Args:
        path: the module, importable from PYTHONPATH, and a name in it.
        what: for errors.

    Raises:
        AdapterError: there is no such module, or nothing callable of that name in it.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        expected = f"module:factory, or one of {sorted(KNOWN)}"
        raise AdapterError(what, got=repr(path), expected=expected)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise AdapterError(
            f"{what} {path}", got=error, expected="a module that can be imported"
        ) from error
    if not callable(found):
        raise AdapterError(f"{what} {path}", got=found, expected=f"a callable {name} in {module}")
    return found
