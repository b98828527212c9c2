"""Insert: put the named peg into the socket and let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from vla_sim.scene.fixtures import Fixture
from vla_sim.scene.fixtures.socket import HOLE, Socket
from vla_sim.scene.items import KINDS, PEG
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look, shaded
from vla_sim.scene.scatter import Spot, draw_colours, draw_item, scatter
from vla_sim.tasks.task import Aim, nearness
from vla_sim.truth import Truth

OTHER: Final = 0.5
"""Probability that the third object is no peg."""
RADIUS: Final = 0.037
"""Of the circle that the largest object fills [m]."""
REACH: Final = 0.42
"""Largest distance from the base of the arm [m]: pegs are carried high."""
TURN: Final = np.radians(30.0)
"""Largest yaw of the socket from its direction seen from the base [rad]."""
DARK: Final = (0.11, 0.09, 0.10)
"""Of the socket, unlike any table and any object."""


class Insert:
    """The peg stands in the hole, still, and the gripper does not touch it.

    Attributes:
        depth: height under which the peg's lower end must be [m].
        upright: smallest cosine of the peg's tilt.
        rest: largest speed of a peg at rest [m/s].
    """

    name: ClassVar[str] = "insert"
    time_limit: ClassVar[float] = 16.0
    grasps: ClassVar[bool] = True

    depth = 0.010
    upright = 0.95
    rest = 0.02

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """A socket, two pegs, and a third peg or another object."""
        limits = LayoutLimits()
        colours, kinds = draw_colours(rng, 3), [PEG, PEG, PEG]
        if rng.uniform() < OTHER:
            kinds[2] = str(rng.choice(KINDS))
            if rng.uniform() < limits.shared_colour:
                colours[2] = colours[0]
        socket, *places = scatter(rng, [Spot(Socket.radius), *[Spot(RADIUS)] * 3], REACH)
        items = tuple(
            draw_item(rng, colour, kind, place)
            for colour, kind, place in zip(colours, kinds, places, strict=True)
        )
        yaw = float(np.arctan2(socket[1], socket[0]) + rng.uniform(-TURN, TURN))
        rgb = shaded(rng, DARK, limits.shade)
        fixture = Fixture(Socket.kind, "", rgb, *socket, yaw)
        return Layout(items, (fixture,), draw_look(rng, cameras, limits))

    def targets(self, layout: Layout) -> tuple[str, ...]:
        """All pegs."""
        return layout.of_kind(PEG)

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """The socket."""
        return layout.of_kind(Socket.kind)

    def inside(self, truth: Truth, aim: Aim, upright: float) -> bool:
        """Whether the peg is upright and its lower end is down in the hole.

        Args:
            truth: the world.
            aim: peg and socket.
            upright: smallest cosine of the peg's tilt.
        """
        assert aim.goal is not None
        socket, foot = truth.layout.fixture(aim.goal), truth.foot(aim.target)
        offset = Rotation.from_euler("z", -socket.yaw).apply(foot - (socket.x, socket.y, 0.0))
        tilt = abs(truth.rotation(aim.target).as_matrix()[2, 2])
        within = float(np.abs(offset[:2]).max()) < HOLE / 2
        return within and offset[2] < self.depth and tilt > upright

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the peg is in, still, and free."""
        return (
            self.inside(truth, aim, self.upright)
            and not truth.touched(aim.target)
            and truth.speed(aim.target) <= self.rest
        )

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """First the way to the peg, then the way to the hole, then the release."""
        assert aim.goal is not None
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        position = truth.position(aim.target)
        if self.inside(truth, aim, self.upright):
            return 0.9, "release"
        if truth.touched(aim.target):
            away = float(np.linalg.norm((position - truth.position(aim.goal))[:2]))
            return 0.4 + 0.4 * nearness(away), "carry"
        distance = float(np.linalg.norm(truth.gripper_position() - position))
        return 0.4 * nearness(distance), "approach"
