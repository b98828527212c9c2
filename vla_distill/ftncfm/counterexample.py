"""Counter-examples: a sample's scene with one thing changed, its instruction and action kept.

FT-NCFM, section 3: change the object, its size or its place. A scene at a frame is set up from what
a dataset keeps: the drawn layout with the named object where it is now, and the arm where it was
measured. Other objects stand where the episode began, also if they were knocked aside since. With
the named object in the hand the goal is moved instead; a turntable turns meanwhile, and its samples
stay unverified. The scripted expert, in the unchanged and in the changed scene, says whether the
right action changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_arm.joint_table import HOME, get_arm
from vla_arm.kinematics import InverseKinematics
from vla_sim.constants import CAMERAS
from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.scene.fixtures import Fixture
from vla_sim.scene.items import Item
from vla_sim.scene.layout import Layout
from vla_sim.scene.scatter import REACH
from vla_sim.simulation import Simulation
from vla_sim.tasks import draw_episode

HELD = 0.045
"""An object nearer to the tool point than this, with the gripper closed, counts as held [m]."""
CLOSED = 0.06
"""Commanded openings below are closed [m]."""
STEPS = 8
"""Steps (0.1 s) that the expert's answers are compared over."""
CHANGED = 0.02
"""Least difference of two answers that are not the same, of position or opening [m]."""
SHIFT = (0.06, 0.12)
"""How far a thing is moved [m]."""
ROOM = 0.06
"""Free distance between middles at a thing's new place [m]."""
NEAREST = 0.18
"""Least x of a thing's new place [m]."""
SHRINK = 0.7
"""By which an object is resized; grown, the largest would not fit between the fingers."""

Template = Callable[[Layout, str, Generator], Layout | None]
"""Layout, name of the thing to change, randomness -> changed layout, or None if it cannot be."""


@dataclass(frozen=True)
class Moment:
    """A frame of a simulated episode.

    Attributes:
        task, seed: of the episode.
        state: measured pose, gripper measured and commanded [m, rad]. Shape (8,).
        target: where the named object is [m]. Shape (3,).
    """

    task: str
    seed: int
    state: NDArray[np.floating]
    target: NDArray[np.floating]


@dataclass(frozen=True)
class CounterExample:
    """A changed scene.

    Attributes:
        template: how it was changed.
        images: what the cameras see. Shape (cameras, H, W, 3), uint8.
        difference: largest between the expert's answers in the two scenes [m].
    """

    template: str
    images: NDArray[np.uint8]
    difference: float

    @property
    def confirmed(self) -> bool:
        """Whether the right action changed."""
        return self.difference > CHANGED


class Stage:
    """Sets moments up in the simulator.

    Args:
        image_size: side of the images [px].
    """

    def __init__(self, image_size: int) -> None:
        self.simulation = Simulation(image_size)
        self._kinematics = InverseKinematics(get_arm("X5"), iterations=100)

    def counter_examples(self, moment: Moment) -> list[CounterExample]:
        """One for each template that applies; the expert's answer is in each.

        Returns:
            Nothing where the moment cannot be set up, or the object is in the hand and there is no
            goal; no scene that the simulator cannot follow, as where a thing was put into the
            fingers.
        """
        _, layout, aim, _ = draw_episode(moment.task, moment.seed)
        now = _as_it_is(layout, aim.target, moment)
        held = _is_held(moment)
        name = aim.goal if held else aim.target
        if now is None or name is None or not self._set_up(moment, lambda _: now):
            return []
        right = self._answer()
        if not self.simulation.stable:
            return []
        found = []
        for number, (template, change) in enumerate(TEMPLATES.items()):
            rng = np.random.default_rng([moment.seed, number, 23])
            changed = None if held and template != "moved" else change(now, name, rng)
            if changed is not None and self._set_up(moment, lambda _, new=changed: new):
                images = np.stack([self.simulation.render(name).copy() for name in CAMERAS])
                answer = self._answer()
                if not self.simulation.stable:
                    continue
                difference = float(
                    max(
                        np.linalg.norm(answer[:, :3] - right[:, :3], axis=1).max(),
                        np.abs(answer[:, 6] - right[:, 6]).max(),
                    )
                )
                found.append(CounterExample(template, images, difference))
        return found

    def close(self) -> None:
        """Free the renderers."""
        self.simulation.close()

    def _set_up(self, moment: Moment, change: Callable[[Layout], Layout]) -> bool:
        """The world at the moment; whether the arm can be there."""
        solution = self._kinematics.solve(moment.state[:6], HOME)
        self.simulation.reset(moment.task, moment.seed, change=change)
        opening, commanded = float(moment.state[6]), float(moment.state[7])
        self.simulation.place_arm(solution.q, opening, commanded)
        return solution.converged

    def _answer(self) -> NDArray[np.float64]:
        """The expert's next commands, carried out. Shape (STEPS, 7)."""
        expert = Expert(self.simulation, np.random.default_rng(0))
        driver = StepDriver(self.simulation)
        driver.reset()
        commands = []
        for _ in range(STEPS):
            commands.append(expert.act())
            driver.step(commands[-1])
        return np.array(commands)


def swapped(layout: Layout, name: str, rng: Generator) -> Layout | None:
    """The named thing and another of its sort change places."""
    things = layout.items if _is_item(layout, name) else layout.fixtures
    mine = next(thing for thing in things if thing.name == name)
    others = [t for t in things if t.name != name and type(t) is type(mine)]
    if isinstance(mine, Fixture):
        others = [t for t in others if isinstance(t, Fixture) and t.kind == mine.kind]
    if not others:
        return None
    other = others[int(rng.integers(len(others)))]
    return _with(_with(layout, name, other.x, other.y), other.name, mine.x, mine.y)


def resized(layout: Layout, name: str, rng: Generator) -> Layout | None:
    """The named object is smaller."""
    if not _is_item(layout, name):
        return None
    x, y, z = layout.item(name).size
    smaller = replace(layout.item(name), size=(x * SHRINK, y * SHRINK, z * SHRINK))
    return replace(layout, items=tuple(smaller if i.name == name else i for i in layout.items))


def moved(layout: Layout, name: str, rng: Generator) -> Layout | None:
    """The named thing is a little way off, where there is room."""
    things = (*layout.items, *layout.fixtures)
    mine = next(thing for thing in things if thing.name == name)
    others = np.array([(t.x, t.y) for t in things if t.name != name]).reshape(-1, 2)
    for _ in range(64):
        angle, way = rng.uniform(0.0, 2 * np.pi), rng.uniform(*SHIFT)
        place = np.array([mine.x + way * np.cos(angle), mine.y + way * np.sin(angle)])
        free = (np.linalg.norm(others - place, axis=1) > ROOM).all()
        if free and place[0] > NEAREST and np.linalg.norm(place) < REACH:
            return _with(layout, name, float(place[0]), float(place[1]))
    return None


TEMPLATES: dict[str, Template] = {"moved": moved, "swapped": swapped, "resized": resized}


def _as_it_is(layout: Layout, name: str, moment: Moment) -> Layout | None:
    """The layout with the named object where it is at the moment; None if that is not known."""
    if layout.spin is not None:
        return None
    return _put(layout, name, moment.target) if _is_item(layout, name) else layout


def _put(layout: Layout, name: str, centre: NDArray[np.floating]) -> Layout:
    item = layout.item(name)
    x, y, z = (float(value) for value in centre)
    here = replace(item, x=x, y=y, z=max(z - item.height / 2, 0.0))
    return replace(layout, items=tuple(here if i.name == name else i for i in layout.items))


def _with(layout: Layout, name: str, x: float, y: float) -> Layout:
    def at(thing: Item | Fixture):
        return replace(thing, x=x, y=y) if thing.name == name else thing

    items, fixtures = tuple(map(at, layout.items)), tuple(map(at, layout.fixtures))
    return replace(layout, items=items, fixtures=fixtures)


def _is_item(layout: Layout, name: str) -> bool:
    return any(item.name == name for item in layout.items)


def _is_held(moment: Moment) -> bool:
    near = np.linalg.norm(moment.target - moment.state[:3]) < HELD
    return bool(near and moment.state[7] < CLOSED)
