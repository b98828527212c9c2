"""Reach: bring the open gripper to the named object's top and stay there."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth


class Reach(TableTask):
    """The tool point is within 2 cm of the object's vertical axis, and at its top.

    Attributes:
        sideways: largest horizontal distance of the tool point from the object's top [m].
        above: largest height of the tool point over the object's top [m].
        below: largest depth of the tool point under the object's top [m].
    """

    name: ClassVar[str] = "reach"
    time_limit: ClassVar[float] = 8.0
    grasps: ClassVar[bool] = False

    sideways = 0.020
    above = 0.030
    below = 0.015

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the tool point is at the object's top."""
        offset = truth.gripper_position() - truth.top(aim.target)
        near = float(np.linalg.norm(offset[:2])) <= self.sideways
        return near and -self.below <= offset[2] <= self.above

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """How near the tool point is."""
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        offset = truth.gripper_position() - truth.top(aim.target)
        return 0.9 * nearness(float(np.linalg.norm(offset))), "approach"
