"""Catch: take the named object off the turning turntable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator

from vla_sim.scene.fixtures.turntable import DISC_HEIGHT, draw_spin
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look
from vla_sim.scene.scatter import draw_colours, draw_fixture, draw_item
from vla_sim.tasks.pick import Pick

KINDS: Final = ("cube", "block")
"""Kinds that stand firmly on what turns under them."""
CENTRE_X: Final = (0.27, 0.33)
"""Range of the turntable's x [m]."""
CENTRE_Y: Final = (-0.10, 0.10)
"""Range of its y [m]."""
RIDE: Final = (0.065, 0.072)
"""Range of the objects' distance from its middle [m]."""
CROWDING: Final = 0.20
"""Largest angle of an object from its even share of the circle [rad]."""
SPEED: Final = (0.65, 0.80)
"""Range of its speed [rad/s]: 4 to 6 cm/s where the objects are."""
INTERVAL: Final = (0.8, 2.0)
"""Range of the time between two changes of direction [s]."""
DURATION: Final = 60.0
"""For how long the direction changes: longer than any episode [s]."""


class Catch(Pick):
    """The object is held by the gripper, 5 cm above the table's height: 3.8 above the disc."""

    name: ClassVar[str] = "catch"

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Two or three objects of different colours on the turntable."""
        count = int(rng.integers(2, 4))
        centre = float(rng.uniform(*CENTRE_X)), float(rng.uniform(*CENTRE_Y))
        angles = rng.uniform(-np.pi, np.pi) + 2 * np.pi * np.arange(count) / count
        angles += rng.uniform(-CROWDING, CROWDING, count)
        ways = rng.uniform(*RIDE, count)
        places = [
            (float(centre[0] + way * np.cos(angle)), float(centre[1] + way * np.sin(angle)))
            for way, angle in zip(ways, angles, strict=True)
        ]
        items = tuple(
            draw_item(rng, colour, str(rng.choice(KINDS)), place, DISC_HEIGHT)
            for colour, place in zip(draw_colours(rng, count), places, strict=True)
        )
        turntable = draw_fixture(rng, "turntable", centre, yaw=float(rng.uniform(-np.pi, np.pi)))
        spin = draw_spin(rng, SPEED, INTERVAL, DURATION)
        return Layout(items, (turntable,), draw_look(rng, cameras, LayoutLimits()), spin)
