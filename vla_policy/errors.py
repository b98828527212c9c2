"""The one base class of all errors that this package raises on bad input."""

from __future__ import annotations


class PolicyError(ValueError):
    """Something given to the policy is wrong.

    Args:
        what: the thing that is wrong, e.g. ``"image 'front'"``.
        got: what was found.
        expected: what would have been right.
    """

    def __init__(self, what: str, *, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected
