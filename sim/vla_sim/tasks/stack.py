"""Stack: put the named object on the named cube and let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator

from vla_sim.scene.items import Item
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look
from vla_sim.scene.scatter import Spot, draw_colours, draw_item, scatter
from vla_sim.tasks.task import Aim, nearness
from vla_sim.truth import Truth

UPPER: Final = ("cube", "cylinder")
"""Kinds that are put on the base."""
RADIUS: Final = 0.027
"""Of the circle that the largest of them fills [m]."""
REACH: Final = 0.42
"""Largest distance from the base of the arm [m]: what is carried here is carried high."""


class Stack:
    """The object stands on the cube, both are still, and the gripper touches neither.

    Attributes:
        slack: largest height of the object's lower side over or under the cube's top [m].
        rest: largest speed of an object at rest [m/s].
    """

    name: ClassVar[str] = "stack"
    time_limit: ClassVar[float] = 16.0
    grasps: ClassVar[bool] = True

    slack = 0.004
    rest = 0.02

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """The base, a cube, comes first; two objects that could go on it follow."""
        limits = LayoutLimits()
        colours, kinds = draw_colours(rng, 3), ["cube", *(str(rng.choice(UPPER)) for _ in "ab")]
        if rng.uniform() < limits.shared_colour:
            colours[1], kinds[1] = colours[0], "cylinder"
        places = scatter(rng, [Spot(RADIUS)] * 3, REACH)
        items = tuple(
            draw_item(rng, colour, kind, place)
            for colour, kind, place in zip(colours, kinds, places, strict=True)
        )
        return Layout(items, (), draw_look(rng, cameras, limits))

    def targets(self, layout: Layout) -> tuple[str, ...]:
        """All objects but the base."""
        return tuple(item.name for item in layout.items[1:])

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """The base, which the picture alone does not tell."""
        return (layout.items[0].name,)

    def on(self, truth: Truth, aim: Aim, slack: float) -> bool:
        """Whether the object's middle is over the cube and its lower side at the cube's top.

        Args:
            truth: the world.
            aim: object and cube.
            slack: largest difference of the two heights [m].
        """
        assert aim.goal is not None
        base: Item = truth.item(aim.goal)
        position, top = truth.position(aim.target), truth.top(aim.goal)
        bottom = 2 * position[2] - truth.top(aim.target)[2]
        sideways = float(np.linalg.norm((position - top)[:2]))
        return sideways < base.size[0] / 2 and abs(bottom - top[2]) < slack

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the object is on, the cube on the table, both still and free."""
        assert aim.goal is not None
        still = all(
            truth.speed(name) <= self.rest and not truth.touched(name) for name in aim.names
        )
        standing = truth.position(aim.goal)[2] < truth.item(aim.goal).height / 2 + self.slack
        return still and standing and self.on(truth, aim, self.slack)

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the object, then the way to the cube, then the release."""
        assert aim.goal is not None
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        position = truth.position(aim.target)
        if self.on(truth, aim, 2 * self.slack):
            return 0.9, "release"
        if truth.touched(aim.target):
            away = float(np.linalg.norm((position - truth.top(aim.goal))[:2]))
            return 0.4 + 0.4 * nearness(away), "carry"
        distance = float(np.linalg.norm(truth.gripper_position() - position))
        return 0.4 * nearness(distance), "approach"
