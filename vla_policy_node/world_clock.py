"""Robot time of a simulation whose own time starts anew at each reset: it never goes back."""

from __future__ import annotations

import math

RESET_GAP = 1.0
"""Robot time jumps by at least this at a reset, so that every node sees it [s]."""
MAX_BEHIND, AHEAD = 0.1, 0.01
"""How far stamps may be from the wall clock [s]."""
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

    def keep_to(self, wall: float, simulated: float) -> bool:
        """Keep robot time to the wall clock, for a simulation that publishes no clock.

        Where physics is far behind (it was slow, or paused) robot time jumps; where it is ahead (a
        reset jumps by RESET_GAP) it waits.

        Args:
            wall: the wall clock [s].
            simulated: simulated time of the next tick [s].

        Returns:
            Whether the tick may come now.
        """
        behind = wall - (self._offset + simulated)
        if behind > MAX_BEHIND:
            self._offset += behind
        return behind >= -AHEAD

    def __call__(self, simulated: float) -> float:
        """Return robot time, to the nanosecond."""
        self._newest = round(self._offset + simulated, 9)
        return self._newest
