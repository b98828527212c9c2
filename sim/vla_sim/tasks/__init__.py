"""The tasks, by name."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from vla_sim.constants import CAMERAS
from vla_sim.errors import SimulationError
from vla_sim.instructions import write_instruction
from vla_sim.scene.layout import Layout
from vla_sim.tasks.catch import Catch
from vla_sim.tasks.insert import Insert
from vla_sim.tasks.open import Open
from vla_sim.tasks.pick import Pick
from vla_sim.tasks.place import Place
from vla_sim.tasks.press import Press
from vla_sim.tasks.press_then_pick import PressThenPick
from vla_sim.tasks.push import Push
from vla_sim.tasks.reach import Reach
from vla_sim.tasks.stack import Stack
from vla_sim.tasks.task import Aim, Task, TaskStatus

TASKS: Final[dict[str, type[Task]]] = {
    task.name: task
    for task in (Reach, Pick, Place, Push, Stack, Open, Press, Catch, Insert, PressThenPick)
}
"""Task name -> class."""

SUITES: Final[dict[str, tuple[str, ...]]] = {"arx5": tuple(TASKS)}
"""Suite name -> task names."""


def get_task(name: str) -> Task:
    """The task called ``name``.

    Raises:
        SimulationError: there is no such task.
    """
    if name not in TASKS:
        raise SimulationError("task", got=name, expected=sorted(TASKS))
    return TASKS[name]()


def draw_episode(
    task: str, seed: int, instructions: str = "train", swap: bool = False
) -> tuple[Task, Layout, Aim, str]:
    """Scene, aim and sentence of an episode: a pure function, no physics.

    Args:
        task: name of the task.
        seed: 0 or more.
        instructions: which set of phrasings.
        swap: keep the scene, but name another target of it.

    Raises:
        SimulationError: unknown task or set of phrasings, or a negative seed.
    """
    judge = get_task(task)
    if seed < 0:
        raise SimulationError("seed", got=seed, expected="0 or more")
    number = zlib.crc32(task.encode())  # a new task leaves the scenes of others as they are
    layout = judge.arrange(np.random.default_rng([seed, number, 0]), CAMERAS)
    words = np.random.default_rng([seed, number, 1])
    targets, goals = judge.targets(layout), judge.goals(layout)
    index = int(words.integers(len(targets)))
    shift = int(words.integers(1, len(targets)))
    goal = int(words.integers(max(len(goals), 2)))
    target = targets[(index + shift) % len(targets) if swap else index]
    aim = Aim(target, goals[goal % len(goals)] if goals else None)
    return judge, layout, aim, write_instruction(words, task, aim.target, aim.goal, instructions)


def get_suite(name: str) -> tuple[str, ...]:
    """Names of the tasks of a suite.

    Raises:
        SimulationError: there is no such suite.
    """
    if name not in SUITES:
        raise SimulationError("suite", got=name, expected=sorted(SUITES))
    return SUITES[name]


__all__ = ["SUITES", "TASKS", "Aim", "Task", "TaskStatus", "draw_episode", "get_suite", "get_task"]
