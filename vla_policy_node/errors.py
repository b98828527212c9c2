"""The base class of the errors of the ROS face."""

from __future__ import annotations


class NodeError(ValueError):
    """Something given to a node is wrong, or something it waited for did not come.

    Args:
        what: the thing that is wrong, e.g. ``"parameter 'mode'"``.
        got: what was found.
        expected: what would have been right.
    """

    def __init__(self, what: str, *, got: object, expected: object) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}")
        self.what, self.got, self.expected = what, got, expected
