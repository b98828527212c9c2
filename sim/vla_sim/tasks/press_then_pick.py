"""Press then pick: push the named button down, and only then lift the named object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from vla_sim.scene.layout import Layout
from vla_sim.tasks.pick import Pick
from vla_sim.tasks.press import draw_buttons
from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth


class PressThenPick(TableTask):
    """The object is up and in the gripper, and was never lifted before the button was pressed.

    The button is the goal of the aim, the object its target.
    """

    name: ClassVar[str] = "press_then_pick"
    time_limit: ClassVar[float] = 18.0
    grasps: ClassVar[bool] = True

    def __init__(self) -> None:
        self._pick = Pick()

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Two buttons and two or three objects."""
        return draw_buttons(rng, cameras, buttons=2, items=int(rng.integers(2, 4)))

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """Every button."""
        return layout.of_kind("button")

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the object is up, after this button and no other was pressed."""
        assert aim.goal is not None
        pressed, lifted = truth.events.pressed, truth.events.lifted
        if set(pressed) != {aim.goal} or not self._pick.satisfied(truth, aim):
            return False
        return lifted.get(aim.target, truth.time) > pressed[aim.goal]

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the button, then the pick."""
        assert aim.goal is not None
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        if aim.goal in truth.events.pressed:
            progress, phase = self._pick.progress(truth, aim)
            return 0.4 + 0.55 * progress, phase
        away = np.linalg.norm(truth.gripper_position() - truth.position(aim.goal))
        return 0.4 * nearness(float(away)), "press"
