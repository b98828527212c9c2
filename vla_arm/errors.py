"""The one base class of all errors that this room raises on bad input."""

from __future__ import annotations

import functools
from typing import Any


class ArmError(ValueError):
    """Something given to the arm is wrong.

    Args:
        what: the thing that is wrong, e.g. ``"arm model"``.
        got: what was found.
        expected: what would have been right.
    """

    def __init__(self, what: str, *, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel from a worker process to its parent, in words: the things may not be able to."""
        words = {"got": str(self.got), "expected": str(self.expected)}
        return functools.partial(type(self), self.what, **words), ()
