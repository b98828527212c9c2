"""Draws a scene from a random generator: a pure function, no physics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from vla_sim.errors import SimulationError
from vla_sim.scene.fixtures import Fixture
from vla_sim.scene.fixtures.containers import CONTAINER_RADIUS, CONTAINERS
from vla_sim.scene.fixtures.turntable import Spin
from vla_sim.scene.items import COLOURS, KINDS, PEG, Item

Thing = TypeVar("Thing", Item, Fixture)


@dataclass(frozen=True)
class LayoutLimits:
    """How much scenes differ.

    Attributes:
        objects: number of objects in a scene.
        object_x: range of the objects' x in ``base_link`` [m].
        object_y: range of the objects' y [m].
        container_x: range of the containers' x [m].
        container_y: range of the containers' y [m].
        reach: largest distance of anything from the base, so that the gripper still points down at
            carrying height [m].
        finger_room: free distance around an object, for the open fingers [m].
        container_gap: free distance between the two containers [m].
        shared_colour: probability that two objects have the same colour and differ in kind.
        cube_yaw: largest yaw of a cube or peg [rad]; more would look the same.
        block_yaw: largest yaw of a block [rad].
        block_turn: largest yaw of a block from its direction seen from the base [rad], where the
            last joint still reaches with room to spare.
        shade: largest relative change of an object's brightness.
        camera_position: standard deviation of each camera's position [m].
        camera_rotation: standard deviation of each camera's rotation, about each axis [rad].
    """

    objects: int = 3
    object_x: tuple[float, float] = (0.22, 0.42)
    object_y: tuple[float, float] = (-0.18, 0.18)
    container_x: tuple[float, float] = (0.23, 0.43)
    container_y: tuple[float, float] = (-0.19, 0.19)
    reach: float = 0.44
    finger_room: float = 0.058
    container_gap: float = 0.02
    shared_colour: float = 0.3
    cube_yaw: float = np.pi / 4
    block_yaw: float = np.radians(75.0)
    block_turn: float = np.radians(92.0)
    shade: float = 0.15
    camera_position: float = 0.003
    camera_rotation: float = np.radians(0.7)


@dataclass(frozen=True)
class Look:
    """How a scene is lit and seen.

    Attributes:
        table: linear RGB of the table in 0..1.
        ambient: brightness of the light from everywhere.
        headlight: brightness of the light from the camera, which keeps colours plain.
        diffuse: brightness of the lamp.
        light: direction that the lamp shines in. Shape (3,), unit length.
        camera_offset: camera name -> displacement in the camera's own axes [m]. Shape (3,).
        camera_turn: camera name -> small rotation vector in the camera's axes [rad]. Shape (3,).
    """

    table: tuple[float, float, float]
    ambient: float
    headlight: float
    diffuse: float
    light: tuple[float, float, float]
    camera_offset: dict[str, tuple[float, float, float]]
    camera_turn: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Layout:
    """A whole scene, before physics: what stands where, and how it looks.

    Attributes:
        items: objects that can be moved.
        fixtures: what cannot be carried away.
        look: light and cameras.
        spin: how the turntable turns, if there is one.
    """

    items: tuple[Item, ...]
    fixtures: tuple[Fixture, ...]
    look: Look
    spin: Spin | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all things, objects first."""
        return tuple(thing.name for thing in (*self.items, *self.fixtures))

    def item(self, name: str) -> Item:
        """The object called ``name``.

        Raises:
            SimulationError: no object is called so.
        """
        return _named(self.items, "object", name)

    def fixture(self, name: str) -> Fixture:
        """The fixture called ``name``.

        Raises:
            SimulationError: no fixture is called so.
        """
        return _named(self.fixtures, "fixture", name)

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Names of all things of a kind."""
        return tuple(thing.name for thing in (*self.items, *self.fixtures) if thing.kind == kind)


def _named(things: Sequence[Thing], what: str, name: str) -> Thing:
    for thing in things:
        if thing.name == name:
            return thing
    raise SimulationError(what, got=name, expected=[thing.name for thing in things])


def draw_layout(
    rng: Generator, cameras: Sequence[str], limits: LayoutLimits | None = None
) -> Layout:
    """Draw objects and both containers on the table.

    Args:
        rng: every choice comes from here, in a fixed order.
        cameras: names of the cameras to displace.
        limits: how much scenes differ.
    """
    limits = limits or LayoutLimits()
    names = _draw_names(rng, limits)
    sizes = [draw_size(rng, kind) for _, kind in names]
    radii = [_radius(kind, size) for (_, kind), size in zip(names, sizes, strict=True)]
    places, stands = _draw_places(rng, radii, limits)
    items = []
    for (colour, kind), size, (x, y) in zip(names, sizes, places, strict=True):
        items.append(
            Item(colour, kind, shaded(rng, COLOURS[colour], limits.shade), size, x, y,
                 draw_yaw(rng, kind, float(np.arctan2(y, x)), limits))
        )  # fmt: skip
    fixtures = []
    for kind, (x, y) in zip(CONTAINERS, stands, strict=True):
        base = (0.90, 0.88, 0.84) if kind == "bowl" else (0.10, 0.07, 0.06)
        yaw = float(rng.uniform(-np.pi / 4, np.pi / 4))
        fixtures.append(Fixture(kind, "", shaded(rng, base, limits.shade, 0.03), x, y, yaw))
    return Layout(tuple(items), tuple(fixtures), draw_look(rng, cameras, limits))


def _draw_names(rng: Generator, limits: LayoutLimits) -> list[tuple[str, str]]:
    """Distinct (colour, kind); colours repeat only with the chance asked for."""
    colours = list(rng.permutation(list(COLOURS))[: limits.objects])
    kinds = [str(rng.choice(KINDS)) for _ in range(limits.objects)]
    if rng.uniform() < limits.shared_colour:
        colours[1] = colours[0]
        others = [kind for kind in KINDS if kind != kinds[0]]
        kinds[1] = str(rng.choice(others))
    return [(str(colour), kind) for colour, kind in zip(colours, kinds, strict=True)]


def draw_size(rng: Generator, kind: str) -> tuple[float, float, float]:
    """Full extents of an object of a kind [m]."""
    if kind == "cube":
        side = float(rng.uniform(0.032, 0.038))
        return (side, side, side)
    if kind == "cylinder":
        width = float(rng.uniform(0.030, 0.036))
        return (width, width, float(rng.uniform(0.055, 0.062)))
    if kind == PEG:
        width = float(rng.uniform(0.023, 0.025))
        return (width, width, float(rng.uniform(0.066, 0.070)))
    return (
        float(rng.uniform(0.060, 0.066)),
        float(rng.uniform(0.026, 0.031)),
        float(rng.uniform(0.026, 0.030)),
    )


def _radius(kind: str, size: tuple[float, float, float]) -> float:
    return Item("", kind, (0, 0, 0), size, 0, 0, 0).radius


def draw_yaw(rng: Generator, kind: str, azimuth: float, limits: LayoutLimits) -> float:
    """Yaw; the fingers close across the object's y, so the last joint must reach it."""
    if kind == "cylinder":
        return 0.0
    if kind in ("cube", PEG):
        return float(rng.uniform(-limits.cube_yaw, limits.cube_yaw))
    low = max(-limits.block_yaw, azimuth - limits.block_turn)
    high = min(limits.block_yaw, azimuth + limits.block_turn)
    return float(rng.uniform(low, high))


def _draw_places(
    rng: Generator, radii: Sequence[float], limits: LayoutLimits
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Places of objects and containers with room for fingers between them, by rejection."""
    low = np.array([limits.object_x[0], limits.object_y[0]])
    high = np.array([limits.object_x[1], limits.object_y[1]])
    stand_low = np.array([limits.container_x[0], limits.container_y[0]])
    stand_high = np.array([limits.container_x[1], limits.container_y[1]])
    while True:
        stands = rng.uniform(stand_low, stand_high, (len(CONTAINERS), 2))
        if np.linalg.norm(stands[0] - stands[1]) < 2 * CONTAINER_RADIUS + limits.container_gap:
            continue
        if np.linalg.norm(stands, axis=1).max() > limits.reach:
            continue
        for _ in range(60):
            places = rng.uniform(low, high, (len(radii), 2))
            far = np.linalg.norm(places, axis=1).max() > limits.reach
            if not far and _clear(places, stands, radii, limits.finger_room):
                return (
                    [(float(x), float(y)) for x, y in places],
                    [(float(x), float(y)) for x, y in stands],
                )


def _clear(
    places: np.ndarray, stands: np.ndarray, radii: Sequence[float], finger_room: float
) -> bool:
    for i, place in enumerate(places):
        for stand in stands:
            if np.linalg.norm(place - stand) < CONTAINER_RADIUS + finger_room:
                return False
        for j in range(i):
            if np.linalg.norm(place - places[j]) < max(radii[i], radii[j]) + finger_room:
                return False
    return True


def shaded(
    rng: Generator, rgb: tuple[float, float, float], shade: float, tint: float = 0.0
) -> tuple[float, float, float]:
    """The colour, a little brighter or darker, each channel a little off."""
    factor = 1.0 + rng.uniform(-shade, shade)
    shifted = np.clip(np.array(rgb) * factor + rng.uniform(-1, 1, 3) * (tint or 0.02), 0.0, 1.0)
    return (float(shifted[0]), float(shifted[1]), float(shifted[2]))


def draw_look(rng: Generator, cameras: Sequence[str], limits: LayoutLimits) -> Look:
    """Light, table and camera poses."""
    tone = rng.uniform(0.35, 0.65)
    warmth = rng.uniform(-0.02, 0.08)
    table = (float(tone + warmth), float(tone), float(tone - warmth))
    light = np.array([rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), -1.0])
    light /= np.linalg.norm(light)
    offset, turn = {}, {}
    for name in cameras:
        offset[name] = tuple(rng.normal(0.0, limits.camera_position, 3).tolist())
        turn[name] = tuple(rng.normal(0.0, limits.camera_rotation, 3).tolist())
    return Look(
        table=table,
        ambient=float(rng.uniform(0.25, 0.40)),
        headlight=float(rng.uniform(0.25, 0.40)),
        diffuse=float(rng.uniform(0.25, 0.50)),
        light=(float(light[0]), float(light[1]), float(light[2])),
        camera_offset=offset,
        camera_turn=turn,
    )
