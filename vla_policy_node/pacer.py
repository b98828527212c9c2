"""Keeps physics on the wall clock, and says how well that goes."""

from __future__ import annotations

from collections.abc import Callable

from vla_policy_node.clock import steady

CATCHING_UP = 0.25
"""Share of a tick that lies between ticks at least: who answers them has to keep up."""
MAX_BEHIND = 0.1
"""Physics that is further behind than this gives up the time it lost [s]."""
WINDOW = 2.0
"""Over which the real-time factor is measured [s]."""


class Pacer:
    """Says when the next tick is due.

    Args:
        tick: length of a tick [s].
        speed: simulated seconds in a wall-clock second.
        clock: the steady clock [s]; tests give their own.
    """

    def __init__(self, tick: float, speed: float, clock: Callable[[], float] = steady) -> None:
        self._period, self._speed, self._clock = tick / speed, speed, clock
        self.real_time_factor = speed
        self.restart()

    def due(self) -> bool:
        """Whether a tick is due now; if so it counts as made."""
        now = self._clock()
        if now < self._due:
            return False
        if now - self._due > MAX_BEHIND:
            self._due = now
        self._due += self._period
        self._count(now)
        return True

    def wait(self) -> float:
        """Return the wall-clock time after which to look again [s]."""
        return max(self._due - self._clock(), CATCHING_UP * self._period)

    def restart(self) -> None:
        """Begin again now, with a whole tick, after time stood still on purpose."""
        self._window = self._clock()
        self._due = self._window + self._period
        self._ticks = 0

    def _count(self, now: float) -> None:
        self._ticks += 1
        if now - self._window >= WINDOW:
            simulated = self._ticks * self._period * self._speed
            self.real_time_factor = simulated / (now - self._window)
            self._window, self._ticks = now, 0
