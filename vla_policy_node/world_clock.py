"""Robot time of a simulation whose own time starts anew at each reset: it never goes back."""

from __future__ import annotations

import math

RESET_GAP = 1.0
"""Robot time jumps by at least this at a reset, so that every node sees it [s]."""
GRID = 0.1
"""Resets begin on multiples of this [s], so that images keep to round stamps."""


class WorldClock:
    """Maps simulated time [s] to robot time [s]."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._newest = 0.0

    def restart(self, at_least: float = 0.0) -> None:
        """Simulated time is 0 again.

        Args:
            at_least: robot time must not be before this, e.g. the wall clock [s].
        """
        begin = max(self._newest + RESET_GAP, at_least)
        self._offset = round(math.ceil(begin / GRID - 1e-6) * GRID, 6)

    def slip(self, duration: float) -> None:
        """Let robot time jump forward, because physics was too slow [s]."""
        self._offset += duration

    def __call__(self, simulated: float) -> float:
        """Return robot time, to the nanosecond."""
        self._newest = round(self._offset + simulated, 9)
        return self._newest
