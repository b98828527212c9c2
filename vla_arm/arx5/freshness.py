"""Whether the motors still answer, judged from what they say.

The library stamps every state with the present time, answered or not, so its stamps prove nothing.
A motor that answers cannot report the same position, speed and torque to the bit while its target
moves away from it: at the least its torque follows the error. A motor at rest may, so rest proves
nothing. The target of the gripper is what the library sent, not what it was told: it closes no
further on what the fingers already squeeze.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

STANDING = 0.15
"""How long a motor's numbers may stand still after its target has moved away [s]."""
BLINK = 0.02
"""A longer pause between looks is the machine's, and does not count as the motors' silence [s]."""
MOVED = 0.003
"""By how much the target must have moved to prove it: dozens of quanta of the torque [rad]."""
GRIPPER_MOVED = 0.002
"""The same of the gripper: 0.11 rad of its motor [m]."""


class Freshness:
    """Compares targets with states, motor by motor.

    Args:
        moved: see :data:`MOVED`. Shape (n,), or one for all.
    """

    def __init__(self, moved: ArrayLike = MOVED) -> None:
        self._moved = np.asarray(moved, np.float64)
        self._seen: NDArray[np.float64] | None = None
        self._left = np.zeros(0)
        self._looked = 0.0
        self._target = np.zeros(0)

    def forget(self) -> None:
        """Start anew: the arm was let go."""
        self._seen = None

    def silent(
        self, state: NDArray[np.float64], target: NDArray[np.float64], now: float
    ) -> list[int]:
        """Judge one state.

        Args:
            state: position, velocity, torque by motor. Shape (3, n).
            target: what the motors were last sent. Shape (n,).
            now: steady clock [s].

        Returns:
            Motors, counted from 1, that do not answer.
        """
        if self._seen is None:
            self._seen, self._target = state.copy(), target.copy()
            self._left, self._looked = np.full(target.size, np.inf), now
            return []
        if now - self._looked > BLINK:
            self._left += now - self._looked
        self._looked = now
        changed = (state != self._seen).any(axis=0)
        self._seen = state.copy()
        self._target = np.where(changed, target, self._target)
        # Counted from when the target left: a motor at rest had nothing to say before.
        away = np.abs(target - self._target) > self._moved
        self._left = np.where(away, np.minimum(self._left, now), np.inf)
        return [int(motor) + 1 for motor in np.flatnonzero(now - self._left > STANDING)]


class Standstill:
    """For how long a state has been the same to the bit."""

    def __init__(self) -> None:
        self._seen: NDArray[np.float64] | None = None
        self._since = 0.0

    def lasts(self, state: NDArray[np.float64], now: float) -> float:
        """Take a state of any shape; so long it has been that [s]."""
        if self._seen is None or (state != self._seen).any():
            self._seen, self._since = state.copy(), now
        return now - self._since
