"""What a task is: which words it needs, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from vla_sim.truth import Truth


@dataclass(frozen=True)
class Aim:
    """What the instruction names.

    Attributes:
        target: name of an object of the scene, e.g. ``"red cube"``.
        goal: name of a container, or None where the task has none.
    """

    target: str
    goal: str | None = None


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
    """Judges one kind of episode. Stateless: everything is read off the world."""

    name: ClassVar[str]
    needs_container: ClassVar[bool]
    time_limit: ClassVar[float]

    def satisfied(self, truth: Truth, aim: Aim) -> bool:
        """Whether the condition holds at this instant."""
        ...

    def progress(self, truth: Truth, aim: Aim) -> tuple[float, str]:
        """How far the episode is, 0 to 1, and the name of the phase."""
        ...


def nearness(distance: float, scale: float = 0.3) -> float:
    """1 at no distance, falling to 0 at ``scale`` [m]."""
    return max(0.0, 1.0 - distance / scale)
