"""Clocks: when something last came, by a clock that cannot freeze or jump."""

from __future__ import annotations

import time


def steady() -> float:
    """Return the steady clock [s]."""
    return time.monotonic()


class Arrival:
    """Remembers when something last came.

    The stamp says how old the thing is on the robot's clock; the steady clock says how long nothing
    has come, even if the robot's clock stands still.
    """

    def __init__(self) -> None:
        self._at: float | None = None
        self.stamp: float | None = None

    def mark(self, stamp: float) -> None:
        """Note that something of this stamp [s] came now."""
        self._at, self.stamp = steady(), stamp

    def forget(self) -> None:
        """Be as if nothing ever came."""
        self._at = self.stamp = None

    def silence(self) -> float:
        """Return the time since the last arrival [s], infinite if there was none."""
        return float("inf") if self._at is None else steady() - self._at

    def age(self, now: float) -> float:
        """Return the age of the newest stamp at ``now`` [s], infinite if there was none."""
        return float("inf") if self.stamp is None else now - self.stamp


class StampJump:
    """Tells a stream of stamps that goes on from one that starts anew (reset, replay, outage).

    Args:
        gap: a step forward by more than this, or any step back, is a jump [s].
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._last: float | None = None

    def __call__(self, stamp: float) -> bool:
        """Take the next stamp [s] and say whether it jumped; the first one does."""
        last, self._last = self._last, stamp
        return last is None or stamp < last - 1e-9 or stamp > last + self._gap


class Pace:
    """Lets at most one thing pass each period on average, by its stamps.

    Args:
        period: between things [s]; up to a tenth of it early counts as in time.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._due: float | None = None

    def __call__(self, stamp: float) -> bool:
        """Take a stamp [s] and say whether it may pass; the first one may."""
        if self._due is not None and stamp < self._due - 0.1 * self._period:
            return False
        # Who comes late saves up one period at most.
        self._due = max(stamp if self._due is None else self._due, stamp - self._period)
        self._due += self._period
        return True


class FrozenClock:
    """Tells how long a clock that should run has stood still."""

    def __init__(self) -> None:
        self._seen: float | None = None
        self._since = 0.0

    def standing(self, now: float) -> float:
        """Take the watched clock's time [s]; return how long it has been that [s, steady clock]."""
        if now != self._seen:
            self._seen, self._since = now, steady()
        return steady() - self._since
