"""Push: shove the named object onto the named zone, and leave it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_sim.scene.fixtures.zone import SHEET_HEIGHT, ZONE_RADIUS
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look
from vla_sim.scene.scatter import REACH, draw_colours, draw_fixture, draw_item
from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth

KINDS: Final = ("cube", "block")
"""Kinds that slide and do not topple."""
ITEMS, ZONES = 3, 2
ITEM_RADIUS: Final = 0.036
"""Of the circle that any of them fills [m]."""
RUN_UP: Final = 0.065
"""Distance from an object's middle to the fingers that come down behind it [m]."""
LANE: Final = 0.050
"""Distance that the middle of another object keeps from the way of a pushed one [m]."""
PUSH: Final = (0.088, 0.30)
"""Shortest and longest way from an object to a zone [m]."""
HAND: Final = (0.14, 0.44)
"""Least x, and largest distance from the base, of the hand behind an object [m]."""
ZONE_SPAN: Final = ((0.23, 0.40), (-0.18, 0.18))
"""Ranges of the zones' x and y [m]."""
ITEM_SPAN: Final = ((0.20, 0.40), (-0.18, 0.18))
"""Ranges of the objects' x and y [m]."""
GAP: Final = 0.01
"""Least free distance between two zones, and between two objects [m]."""
TRIES: Final = 1024
"""Scenes that are tried at once."""


class Push(TableTask):
    """The object lies on the zone, still, and the gripper does not touch it.

    Attributes:
        radius: largest distance of the object's centre from the zone's [m].
        raised: largest height of the object's lower side over the sheet [m].
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
        places = _draw_places(rng)
        fixtures = tuple(
            draw_fixture(rng, "zone", place, colour)
            for place, colour in zip(places[:ZONES], draw_colours(rng, ZONES), strict=True)
        )
        items = tuple(
            draw_item(rng, colour, str(rng.choice(KINDS)), place, SHEET_HEIGHT)
            for place, colour in zip(places[ZONES:], draw_colours(rng, ITEMS), strict=True)
        )
        return Layout(items, fixtures, draw_look(rng, cameras, limits))

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """Both zones."""
        return layout.of_kind("zone")

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the object is on, flat on the sheet, still, and free."""
        assert aim.goal is not None
        position = truth.position(aim.target)
        lower = 2 * position[2] - truth.top(aim.target)[2]
        return (
            float(np.linalg.norm((position - truth.position(aim.goal))[:2])) <= self.radius
            and float(lower) <= SHEET_HEIGHT + self.raised
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


def _draw_places(rng: Generator) -> list[tuple[float, float]]:
    """Places of the zones, then of the objects [m]: the first of many tries in which all is free.

    Few are, so they are tried many at once: training redraws the scenes of thousands of episodes.
    """
    spans = np.array([ZONE_SPAN] * ZONES + [ITEM_SPAN] * ITEMS)
    low, high = spans[..., 0], spans[..., 1]
    while True:
        places = rng.uniform(low, high, (TRIES, ZONES + ITEMS, 2))
        free = _are_free(places[:, :ZONES], places[:, ZONES:])
        if free.any():
            return [(float(x), float(y)) for x, y in places[np.argmax(free)]]


def _are_free(zones: NDArray[np.float64], items: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each object can be pushed to each zone.

    Args:
        zones: places of the zones. Shape (N, zones, 2) [m].
        items: places of the objects. Shape (N, items, 2) [m].

    Returns:
        One answer a try. Shape (N,).
    """
    way = zones[:, None] - items[:, :, None]
    length = np.linalg.norm(way, axis=-1)
    hand = items[:, :, None] - RUN_UP * way / length[..., None]
    reached = np.linalg.norm(np.concatenate([zones, items], axis=1), axis=-1).max(1) <= REACH
    good = reached & (_least_gap(zones) > 2 * ZONE_RADIUS + GAP)
    good &= _least_gap(items) > 2 * ITEM_RADIUS + GAP
    good &= ((length >= PUSH[0]) & (length <= PUSH[1])).all((1, 2))
    good &= (hand[..., 0] >= HAND[0]).all((1, 2))
    good &= (np.linalg.norm(hand, axis=-1) <= HAND[1]).all((1, 2))
    for index in range(ITEMS):
        others = np.delete(items, index, axis=1)[:, None]
        gap = distance_to_stretch(others, hand[:, index, :, None], zones[:, :, None])
        good &= (gap >= LANE).all((1, 2))
    return good


def _least_gap(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least distance between any two of the places, shape (N, things, 2). Shape (N,) [m]."""
    first, second = np.triu_indices(places.shape[1], 1)
    return np.linalg.norm(places[:, first] - places[:, second], axis=-1).min(axis=1)


def distance_to_stretch(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of points from the stretch between two others [m].

    Args:
        points: shape (..., 2) [m].
        start: shape (..., 2) [m].
        end: shape (..., 2), not the start [m].

    Returns:
        Shape (...), broadcast.
    """
    way = end - start
    share = ((points - start) * way).sum(-1) / (way**2).sum(-1)
    return np.linalg.norm(points - start - np.clip(share, 0.0, 1.0)[..., None] * way, axis=-1)
