"""The one base class of the bench's errors."""

from __future__ import annotations


class BenchError(RuntimeError):
    """The bench cannot do what it was asked to.

    Args:
        what: the thing that is wrong, e.g. ``"fault"``.
        got: what was found.
        expected: what would have been right.
    """

    def __init__(self, what: str, *, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
