"""The tasks, by name."""

from __future__ import annotations

from typing import Final

from vla_sim.errors import SimulationError
from vla_sim.tasks.pick import Pick
from vla_sim.tasks.place import Place
from vla_sim.tasks.reach import Reach
from vla_sim.tasks.task import Aim, Task, TaskStatus

TASKS: Final[dict[str, type[Task]]] = {task.name: task for task in (Reach, Pick, Place)}
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


def get_suite(name: str) -> tuple[str, ...]:
    """Names of the tasks of a suite.

    Raises:
        SimulationError: there is no such suite.
    """
    if name not in SUITES:
        raise SimulationError("suite", got=name, expected=sorted(SUITES))
    return SUITES[name]


__all__ = ["SUITES", "TASKS", "Aim", "Task", "TaskStatus", "get_suite", "get_task"]
