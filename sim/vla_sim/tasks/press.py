"""Press: push the named button down, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.random import Generator

from vla_sim.scene.fixtures.button import BASE_RADIUS
from vla_sim.scene.items import KINDS
from vla_sim.scene.layout import Layout, LayoutLimits, draw_look
from vla_sim.scene.scatter import Spot, draw_colours, draw_fixture, draw_item, scatter
from vla_sim.tasks.task import Aim, TableTask, nearness
from vla_sim.truth import Truth

BUTTON_SPOT: Final = Spot(radius=BASE_RADIUS, room=0.08)
"""A hand that slips off a button lands beside the next one, not on it."""
ITEM_SPOT: Final = Spot(radius=0.036)
"""Room for any object, and for the open fingers around it."""


def draw_buttons(rng: Generator, cameras: Sequence[str], buttons: int, items: int) -> Layout:
    """Buttons of different colours among objects of different colours.

    Args:
        rng: every choice comes from here.
        cameras: names of the cameras to displace.
        buttons: how many buttons.
        items: how many objects.
    """
    places = scatter(rng, [BUTTON_SPOT] * buttons + [ITEM_SPOT] * items)
    colours = draw_colours(rng, buttons)
    fixtures = [
        draw_fixture(rng, "button", place, colour)
        for place, colour in zip(places[:buttons], colours, strict=True)
    ]
    objects = [
        draw_item(rng, colour, str(rng.choice(KINDS)), place)
        for place, colour in zip(places[buttons:], draw_colours(rng, items), strict=True)
    ]
    look = draw_look(rng, cameras, LayoutLimits())
    return Layout(tuple(objects), tuple(fixtures), look)


class Press(TableTask):
    """The button's light is on, and no other light is."""

    name: ClassVar[str] = "press"
    time_limit: ClassVar[float] = 10.0
    grasps: ClassVar[bool] = False

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Three buttons and one or two objects."""
        return draw_buttons(rng, cameras, buttons=3, items=int(rng.integers(1, 3)))

    def targets(self, layout: Layout) -> tuple[str, ...]:
        """Every button."""
        return layout.of_kind("button")

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether this button was pressed, and no other."""
        return set(truth.events.pressed) == {aim.target}

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """The way to the button."""
        if self.satisfied(truth, aim):
            return 1.0, "hold"
        away = np.linalg.norm(truth.gripper_position() - truth.position(aim.target))
        return 0.9 * nearness(float(away)), "approach"
