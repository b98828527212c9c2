"""Push: shove the named object onto the named zone, and leave it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_sim.scene.fixtures.zone import ZONE_RADIUS
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look
from vla_sim.scene.scatter import Spot, draw_colours, draw_fixture, draw_item, scatter
from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth

KINDS: Final = ("cube", "block")
"""Kinds that slide and do not topple."""
ITEMS, ZONES = 3, 2
ITEM_RADIUS: Final = 0.036
"""Of the circle that any of them fills [m]."""
RUN_UP: Final = 0.065
"""Distance from an object's middle to the fingers that come down behind it [m]."""
LANE: Final = 0.062
"""Distance that the middle of another object keeps from the way of a pushed one [m]."""
PUSH: Final = (0.095, 0.26)
"""Shortest and longest way from an object to a zone [m]."""
HAND: Final = (0.15, 0.43)
"""Least x, and largest distance from the base, of the hand behind an object [m]."""


class Push(TableTask):
    """The object lies on the zone, still, and the gripper does not touch it.

    Attributes:
        radius: largest distance of the object's centre from the zone's [m].
        raised: largest height of the object's lower side over the table [m].
        rest: largest speed of an object at rest [m/s].
    """

    name: ClassVar[str] = "push"
    time_limit: ClassVar[float] = 16.0
    grasps: ClassVar[bool] = False

    radius = ZONE_RADIUS - 0.02
    raised = 0.004
    rest = 0.02

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Three objects and two zones, with a free way from each to each."""
        limits = LayoutLimits()
        zone = Spot(ZONE_RADIUS, 0.0, x=(0.23, 0.40))
        item = Spot(ITEM_RADIUS, 0.02, x=(0.20, 0.40))
        while True:
            places = scatter(rng, [zone] * ZONES + [item] * ITEMS)
            points = np.array(places)
            if _ways_are_free(points[ZONES:], points[:ZONES]):
                break
        fixtures = tuple(
            draw_fixture(rng, "zone", place, colour)
            for place, colour in zip(places[:ZONES], draw_colours(rng, ZONES), strict=True)
        )
        items = tuple(
            draw_item(rng, colour, str(rng.choice(KINDS)), place)
            for place, colour in zip(places[ZONES:], draw_colours(rng, ITEMS), strict=True)
        )
        return Layout(items, fixtures, draw_look(rng, cameras, limits))

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """Both zones."""
        return layout.of_kind("zone")

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the object is on, flat on the table, still, and free."""
        assert aim.goal is not None
        position = truth.position(aim.target)
        lower = 2 * position[2] - truth.top(aim.target)[2]
        return (
            float(np.linalg.norm((position - truth.position(aim.goal))[:2])) <= self.radius
            and float(lower) <= self.raised
            and not truth.touched(aim.target)
            and truth.speed(aim.target) <= self.rest
        )

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the object, then the object's way, then the release."""
        assert aim.goal is not None
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        position = truth.position(aim.target)
        away = float(np.linalg.norm((position - truth.position(aim.goal))[:2]))
        if away <= self.radius:
            return 0.9, "release"
        if truth.touched(aim.target):
            return 0.4 + 0.4 * nearness(away), "push"
        distance = float(np.linalg.norm(truth.gripper_position() - position))
        return 0.4 * nearness(distance), "approach"


def _ways_are_free(items: NDArray[np.float64], zones: NDArray[np.float64]) -> bool:
    """Whether each object, shape (N, 2), can be pushed to each zone, shape (M, 2) [m]."""
    for index, start in enumerate(items):
        others = np.delete(items, index, axis=0)
        for end in zones:
            way = end - start
            length = float(np.linalg.norm(way))
            hand = start - RUN_UP * way / length
            if not PUSH[0] <= length <= PUSH[1] or hand[0] < HAND[0]:
                return False
            if np.linalg.norm(hand) > HAND[1] or _distance(others, hand, end).min() < LANE:
                return False
    return True


def _distance(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of points, shape (N, 2), from the stretch between two others. Shape (N,) [m]."""
    way = end - start
    share = np.clip((points - start) @ way / (way @ way), 0.0, 1.0)
    return np.linalg.norm(points - start - share[:, None] * way, axis=1)
