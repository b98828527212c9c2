"""The one base class of all errors that this room raises on bad input."""

from __future__ import annotations


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
