"""Where things stand: places with room between them, by rejection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator

from vla_sim.scene.fixtures import FIXTURES, Fixture
from vla_sim.scene.items import COLOURS, Item
from vla_sim.scene.layout import LayoutLimits, draw_size, draw_yaw, shaded

FINGER_ROOM: Final = LayoutLimits().finger_room
"""Free distance around what is grasped [m]."""
REACH: Final = LayoutLimits().reach
"""Largest distance of anything from the base [m]."""
PLAIN_COLOUR: Final = (0.55, 0.53, 0.50)
"""Of fixtures that have no colours."""


@dataclass(frozen=True)
class Spot:
    """A place that is wanted.

    Attributes:
        radius: of the circle that the thing fills [m].
        room: free distance that it needs around it [m].
        x: range of its x in ``base_link`` [m].
        y: range of its y [m].
    """

    radius: float
    room: float = FINGER_ROOM
    x: tuple[float, float] = (0.22, 0.42)
    y: tuple[float, float] = (-0.18, 0.18)


def scatter(
    rng: Generator, spots: Sequence[Spot], reach: float = REACH
) -> list[tuple[float, float]]:
    """Places (x, y) [m] for all spots: within reach, and each with the room that it needs."""
    low = np.array([(spot.x[0], spot.y[0]) for spot in spots])
    high = np.array([(spot.x[1], spot.y[1]) for spot in spots])
    while True:
        places = rng.uniform(low, high)
        if np.linalg.norm(places, axis=1).max() <= reach and _have_room(places, spots):
            return [(float(x), float(y)) for x, y in places]


def _have_room(places: np.ndarray, spots: Sequence[Spot]) -> bool:
    for i, first in enumerate(spots):
        for j in range(i):
            second = spots[j]
            needed = max(
                first.radius + second.room,
                second.radius + first.room,
                first.radius + second.radius + 0.01,
            )
            if np.linalg.norm(places[i] - places[j]) < needed:
                return False
    return True


def draw_colours(rng: Generator, count: int) -> list[str]:
    """Distinct colours."""
    return [str(colour) for colour in rng.permutation(list(COLOURS))[:count]]


def draw_item(
    rng: Generator, colour: str, kind: str, place: tuple[float, float], height: float = 0.0
) -> Item:
    """An object of random size, shade and yaw, standing at ``height`` [m]."""
    x, y = place
    limits = LayoutLimits()
    size = draw_size(rng, kind)
    rgb = shaded(rng, COLOURS[colour], limits.shade)
    return Item(
        colour, kind, rgb, size, x, y, draw_yaw(rng, kind, np.arctan2(y, x), limits), height
    )


def draw_fixture(
    rng: Generator, kind: str, place: tuple[float, float], colour: str = "", yaw: float = 0.0
) -> Fixture:
    """A fixture in a random shade of its colour."""
    base = COLOURS[colour] if FIXTURES[kind].coloured else PLAIN_COLOUR
    return Fixture(kind, colour, shaded(rng, base, LayoutLimits().shade), *place, yaw)
