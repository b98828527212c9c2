"""Place: put the named object in the named container and let go."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vla_sim.scene.fixtures.containers import CONTAINERS
from vla_sim.scene.layout import Layout
from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth


class Place(TableTask):
    """The object rests inside the container and the gripper does not touch it.

    Attributes:
        rest: largest speed of an object at rest [m/s].
    """

    name: ClassVar[str] = "place"
    time_limit: ClassVar[float] = 16.0
    grasps: ClassVar[bool] = True

    rest = 0.02

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """Both containers."""
        return CONTAINERS

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the object is in, still, and free."""
        assert aim.goal is not None
        return (
            truth.inside(aim.target, aim.goal)
            and not truth.touched(aim.target)
            and truth.speed(aim.target) <= self.rest
        )

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the object, then the way to the container, then the release."""
        assert aim.goal is not None
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        position = truth.position(aim.target)
        if truth.inside(aim.target, aim.goal):
            return 0.9, "release"
        if truth.touched(aim.target):
            away = float(np.linalg.norm((position - truth.position(aim.goal))[:2]))
            return 0.4 + 0.4 * nearness(away), "carry"
        distance = float(np.linalg.norm(truth.gripper_position() - position))
        return 0.4 * nearness(distance), "approach"
