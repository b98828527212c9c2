"""What the gripper is doing: open, closing, holding, or closed on nothing."""

from __future__ import annotations

from typing import Final

from vla_sim.truth import Truth

OPEN: Final = 0.08
"""Opening that experts ask for when open [m]."""
CLOSED: Final = 0.0
"""Opening that experts ask for when they grip [m]; force ends it."""
SETTLED: Final = 0.0008
"""Largest change of the opening in a step of a gripper at rest [m]."""


class Hand:
    """Remembers what was commanded and sees when the fingers have come to rest."""

    def __init__(self) -> None:
        self.closed = False
        self.settled = True
        self._opening: float | None = None
        self._steps = 0

    def look(self, truth: Truth) -> None:
        """Read the gripper; to be called once a step. What was really sent overrules memory."""
        sent = truth.commanded_opening()
        if sent > 0.75 * OPEN and self._steps > 3:
            self.closed = False
        elif sent < 0.1 * OPEN:
            self.closed = True
        opening = truth.gripper_opening()
        moved = abs(opening - self._opening) if self._opening is not None else 0.0
        self._opening = opening
        self._steps += 1
        self.settled = moved < SETTLED and self._steps > 2

    def command(self, opening: float) -> None:
        """Note what is asked for now."""
        closed = opening < OPEN / 2
        if closed != self.closed:
            self._steps = 0
        self.closed = closed

    def holds(self, truth: Truth, name: str) -> bool:
        """Whether the closed fingers have the object between them."""
        near = abs(truth.position(name) - truth.gripper_position()).max() < 0.045
        return self.closed and bool(near) and truth.touched(name)
