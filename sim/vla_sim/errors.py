"""The one base class of all errors that the simulated world raises on bad input."""

from __future__ import annotations

import functools
from typing import Any


class SimulationError(ValueError):
    """Something asked of the simulated world is wrong.

    Args:
        what: the thing that is wrong, e.g. ``"task"``.
        got: what was found.
        expected: what would have been right, or what exists.
    """

    def __init__(self, what: str, *, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel from a worker process to its parent, in words: the things may not be able to."""
        words = {"got": str(self.got), "expected": str(self.expected)}
        return functools.partial(type(self), self.what, **words), ()
