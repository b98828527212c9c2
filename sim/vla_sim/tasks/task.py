"""What a task is: which words it needs, and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from numpy.random import Generator

from vla_sim.scene.layout import Layout, draw_layout
from vla_sim.truth import Truth


@dataclass(frozen=True)
class Aim:
    """What the instruction names.

    Attributes:
        target: name of the thing to act on, e.g. ``"red cube"``.
        goal: name of the other thing, e.g. a container, or None where the task has none.
    """

    target: str
    goal: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The one or two things that are named."""
        return (self.target,) if self.goal is None else (self.target, self.goal)


@dataclass(frozen=True)
class TaskStatus:
    """How far an episode is.

    Attributes:
        success: the condition has held for a second without a break.
        holding_time: for how long the condition has held up to now [s].
        progress: 0 at the start to 1 where the condition holds.
        phase: what remains to be done, in one word.
    """

    success: bool
    holding_time: float
    progress: float
    phase: str


class Task(Protocol):
    """Draws and judges one kind of episode. Stateless: everything is read off the world.

    Attributes:
        name: of the task.
        time_limit: after which an episode has failed [s].
        grasps: whether the gripper closes on an object, so that grasps can go wrong.
    """

    name: ClassVar[str]
    time_limit: ClassVar[float]
    grasps: ClassVar[bool]

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Draw a scene, a function of ``rng`` alone; ``cameras`` are to be displaced."""
        ...

    def targets(self, layout: Layout) -> tuple[str, ...]:
        """Names of all things, two or more, that an instruction could ask to act on."""
        ...

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """Names of all things that it could name besides; empty where the task has none."""
        ...

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the condition holds at this instant."""
        ...

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """How far the episode is, 0 to 1, and the name of the phase."""
        ...


def nearness(distance: float, scale: float = 0.3) -> float:
    """1 at no distance, falling to 0 at ``scale`` [m]."""
    return max(0.0, 1.0 - distance / scale)


class TableTask:
    """What the tasks on free objects and containers have in common: their scene and targets."""

    def arrange(self, rng: Generator, cameras: Sequence[str]) -> Layout:
        """Three objects, a bowl and a box."""
        return draw_layout(rng, cameras)

    def targets(self, layout: Layout) -> tuple[str, ...]:
        """Every object."""
        return tuple(item.name for item in layout.items)

    def goals(self, layout: Layout) -> tuple[str, ...]:
        """None."""
        return ()
