"""The simulated world: an arm, a table, objects and fixtures to handle; tasks, experts, judges."""

from __future__ import annotations

import os

# Mesa's software renderer, which reads this when mujoco is imported: small pictures are drawn
# before its threads are awake.
os.environ.setdefault("LP_NUM_THREADS", "0")

from vla_sim.constants import (
    CAMERAS,
    CONTROL_DT,
    HOLD_TIME,
    IMAGE_SIZE,
    PHYSICS_DT,
    STEP_DT,
    TRAIN_SEED_START,
)
from vla_sim.errors import SimulationError
from vla_sim.instructions import all_words
from vla_sim.registration import register_environments
from vla_sim.simulation import Episode, JointState, Simulation
from vla_sim.tasks import SUITES, TASKS, Aim, TaskStatus, get_suite, get_task

__all__ = [
    "CAMERAS",
    "CONTROL_DT",
    "HOLD_TIME",
    "IMAGE_SIZE",
    "PHYSICS_DT",
    "STEP_DT",
    "SUITES",
    "TASKS",
    "TRAIN_SEED_START",
    "Aim",
    "Episode",
    "JointState",
    "Simulation",
    "SimulationError",
    "TaskStatus",
    "all_words",
    "get_suite",
    "get_task",
]

register_environments()
