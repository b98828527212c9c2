"""Open: pull the named drawer out, and leave the other one shut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_sim.scene.fixtures import Fixture
from vla_sim.scene.items import KINDS
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look
from vla_sim.scene.scatter import draw_colours, draw_fixture, draw_item
from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth

FRONT: Final = (0.32, 0.38)
"""Distance of a chest's front from the base [m]: the open drawer's knob is still in reach."""
ASIDE: Final = (np.radians(14.0), np.radians(27.0))
"""Direction of a chest from straight ahead, one to each side [rad]."""
TURN: Final = np.radians(25.0)
"""Largest turn of a chest from facing the base [rad]."""
ALONG: Final = (-0.04, 0.03, 0.09)
"""Along a chest's x, the middles of the discs that cover it and the way of the hand [m]."""
ROOM: Final = 0.058
"""Radius of these discs [m]."""
ITEM_RADIUS: Final = 0.036
"""Of the largest object [m]."""


class Open(TableTask):
    """The drawer is out by 5 cm or more, the other by less than 1 cm.

    Attributes:
        opened: travel from which a drawer is open [m].
        shut: travel under which a drawer is shut [m].
    """

    name: ClassVar[str] = "open"
    time_limit: ClassVar[float] = 14.0
    grasps: ClassVar[bool] = True

    opened = 0.05
    shut = 0.01

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Two chests that about face the base, and one or two objects."""
        while True:
            poses = [_draw_pose(rng, side) for side in (-1.0, 1.0)]
            discs = np.concatenate([_discs(*pose) for pose in poses])
            if _apart(discs[: len(ALONG)], discs[len(ALONG) :]):
                break
        colours = draw_colours(rng, 2)
        chests = [
            draw_fixture(rng, "drawer", (x, y), colour, yaw)
            for (x, y, yaw), colour in zip(poses, colours, strict=True)
        ]
        names = draw_colours(rng, int(rng.integers(1, 3)))
        places = _draw_places(rng, discs, len(names))
        items = [
            draw_item(rng, colour, str(rng.choice(KINDS)), place)
            for colour, place in zip(names, places, strict=True)
        ]
        return Layout(tuple(items), tuple(chests), draw_look(rng, cameras, LayoutLimits()))

    def targets(self, layout: Layout) -> tuple[str, ...]:
        """Both drawers."""
        return layout.of_kind("drawer")

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether this drawer is open and the other is shut."""
        others = [name for name in self.targets(truth.layout) if name != aim.target]
        shut = all(truth.travel(name) < self.shut for name in others)
        return shut and truth.travel(aim.target) >= self.opened

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the knob, then the pull."""
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        travel = truth.travel(aim.target)
        if travel > 0.005:
            return 0.5 + 0.4 * min(1.0, travel / self.opened), "pull"
        away = np.linalg.norm(truth.gripper_position() - truth.position(aim.target))
        return 0.5 * nearness(float(away)), "approach"


def _draw_pose(rng: Generator, side: float) -> tuple[float, float, float]:
    """x, y [m] and yaw [rad] of a chest on one side."""
    azimuth, distance = side * rng.uniform(*ASIDE), rng.uniform(*FRONT)
    yaw = azimuth + np.pi + rng.uniform(-TURN, TURN)
    return float(distance * np.cos(azimuth)), float(distance * np.sin(azimuth)), float(yaw)


def _discs(x: float, y: float, yaw: float) -> NDArray[np.float64]:
    """Middles of the discs that cover a chest. Shape (n, 2) [m]."""
    chest = Fixture("drawer", "", (0.0, 0.0, 0.0), x, y, yaw)
    return np.array([chest.at((along, 0.0, 0.0))[:2] for along in ALONG])


def _apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    return bool(np.linalg.norm(first[:, None] - second[None], axis=2).min() >= 2 * ROOM)


def _draw_places(
    rng: Generator, discs: NDArray[np.float64], count: int
) -> list[tuple[float, float]]:
    """Places of objects beside the chests and the way of the hand."""
    limits = LayoutLimits()
    low, high = (np.array(ends) for ends in zip(limits.object_x, limits.object_y, strict=True))
    while True:
        places = rng.uniform(low, high, (count, 2))
        near = np.linalg.norm(places[:, None] - discs[None], axis=2).min() < ROOM + ITEM_RADIUS
        close = count > 1 and np.linalg.norm(places[0] - places[1]) < 2 * ITEM_RADIUS + 0.01
        if not near and not close and np.linalg.norm(places, axis=1).max() <= limits.reach:
            return [(float(x), float(y)) for x, y in places]
