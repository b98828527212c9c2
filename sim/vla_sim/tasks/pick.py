"""Pick: lift the named object off the table and keep it there."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth


class Pick(TableTask):
    """The object is held by the gripper, 5 cm or more above where it would stand on the table.

    Attributes:
        height: how much higher than on the table the object's centre must be [m].
    """

    name: ClassVar[str] = "pick"
    time_limit: ClassVar[float] = 12.0
    grasps: ClassVar[bool] = True

    height = 0.05

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the object is up and in the gripper."""
        return self._lift(truth, aim) >= self.height and truth.touched(aim.target)

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the object, then the way up."""
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        lift = self._lift(truth, aim)
        if truth.touched(aim.target):
            return 0.5 + 0.4 * min(1.0, max(0.0, lift / self.height)), "lift"
        distance = float(np.linalg.norm(truth.gripper_position() - truth.position(aim.target)))
        return 0.5 * nearness(distance), "approach"

    def _lift(self, truth: Truth, aim: Aim) -> float:
        return float(truth.position(aim.target)[2] - truth.item(aim.target).height / 2)
