"""How smooth the seams between chunks are: jumps of the commanded velocity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SeamMeter:
    """Looks at what is commanded, tick by tick.

    Args:
        dt: time between ticks [s].

    Attributes:
        jumps: change of the commanded linear velocity at each seam, the tick in which another chunk
            begins to be played [m/s].
        within: the same at all other ticks [m/s].
    """

    def __init__(self, dt: float) -> None:
        self._dt = dt
        self.jumps: list[float] = []
        self.within: list[float] = []
        self._break()

    def _break(self) -> None:
        self._last: NDArray[np.float64] | None = None
        self._velocity: NDArray[np.float64] | None = None
        self._chunk: float | None = None

    @property
    def jump(self) -> float:
        """Mean change at a seam [m/s]; 0 without seams."""
        return float(np.mean(self.jumps)) if self.jumps else 0.0

    @property
    def roughness(self) -> float:
        """Mean change over all ticks [m/s]."""
        return float(np.mean(self.jumps + self.within)) if self.jumps or self.within else 0.0

    def see(self, target: NDArray[np.float64] | None, stamp: float | None) -> None:
        """Take the target of a tick, Shape (7,), and the stamp of its chunk; None is a hold."""
        if target is None or stamp is None:
            self._break()
            return
        position = target[:3].copy()
        velocity = None if self._last is None else (position - self._last) / self._dt
        if velocity is not None and self._velocity is not None:
            jump = float(np.linalg.norm(velocity - self._velocity))
            (self.within if stamp == self._chunk else self.jumps).append(jump)
        self._last, self._velocity, self._chunk = position, velocity, stamp
