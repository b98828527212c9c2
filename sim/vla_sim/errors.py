"""The one base class of all errors that the simulated world raises on bad input."""

from __future__ import annotations


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
