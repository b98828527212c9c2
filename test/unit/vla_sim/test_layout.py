"""Laws of drawn scenes."""

from __future__ import annotations

import numpy as np
import pytest

from vla_sim.constants import CAMERAS
from vla_sim.errors import SimulationError
from vla_sim.scene.fixtures.containers import CONTAINER_RADIUS, CONTAINERS
from vla_sim.scene.items import KINDS
from vla_sim.scene.layout import Layout, LayoutLimits, draw_layout

LAYOUTS = [draw_layout(np.random.default_rng(seed), CAMERAS) for seed in range(100)]


def test_the_same_generator_draws_the_same_scene() -> None:
    first, second = (draw_layout(np.random.default_rng(5), CAMERAS) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("layout", LAYOUTS[:20])
def test_names_are_unique_and_containers_complete(layout: Layout) -> None:
    names = [item.name for item in layout.items]
    assert len(set(names)) == len(names) == LayoutLimits().objects
    assert tuple(container.kind for container in layout.fixtures) == CONTAINERS


@pytest.mark.parametrize("layout", LAYOUTS[:20])
def test_there_is_room_for_the_fingers_around_every_object(layout: Layout) -> None:
    room = LayoutLimits().finger_room
    for index, item in enumerate(layout.items):
        for other in layout.items[:index]:
            distance = np.hypot(item.x - other.x, item.y - other.y)
            assert distance >= room + max(item.radius, other.radius)
        for container in layout.fixtures:
            distance = np.hypot(item.x - container.x, item.y - container.y)
            assert distance >= room + CONTAINER_RADIUS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_everything_is_within_reach(layout: Layout) -> None:
    for thing in (*layout.items, *layout.fixtures):
        assert np.hypot(thing.x, thing.y) <= LayoutLimits().reach


def test_scenes_differ_in_kinds_and_colour_is_not_always_enough() -> None:
    kinds = {item.kind for layout in LAYOUTS for item in layout.items}
    shared = [len({item.colour for item in layout.items}) < 3 for layout in LAYOUTS]
    assert kinds == set(KINDS)
    assert 0.15 < np.mean(shared) < 0.5


def test_an_unknown_object_is_refused_with_those_there_are() -> None:
    with pytest.raises(SimulationError, match="pink sphere") as error:
        LAYOUTS[0].item("pink sphere")
    assert LAYOUTS[0].items[0].name in str(error.value)
