"""The last end-effector states, to know where the arm was when an image was taken."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_policy.conversions import interpolate_state
from vla_policy.errors import PolicyError


class StateHistory:
    """States by stamp, oldest first.

    Args:
        tolerance: how far outside the known stamps the nearest state still serves [s].
        capacity: states kept.
    """

    def __init__(self, tolerance: float = 0.1, capacity: int = 200) -> None:
        self._tolerance = tolerance
        self._states: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=capacity)

    def add(self, stamp: float, state: NDArray[np.float64]) -> None:
        """Take a state, Shape (8,), with a stamp [s] not before the last one."""
        if self._states and stamp <= self._states[-1][0]:
            self._states.pop()
        self._states.append((stamp, state))

    def clear(self) -> None:
        """Forget all."""
        self._states.clear()

    def at(self, stamp: float) -> NDArray[np.float64]:
        """Return the state at a time [s], interpolated. Shape (8,).

        Raises:
            PolicyError: no state is near that time.
        """
        after: tuple[float, NDArray[np.float64]] | None = None
        for time, state in reversed(self._states):
            if time <= stamp:
                if after is None:
                    return self._near(stamp, time, state)
                fraction = (stamp - time) / (after[0] - time)
                return interpolate_state(state, after[1], fraction)
            after = (time, state)
        if after is None:
            raise PolicyError("ee_state", got="none", expected=f"one at {stamp:.3f} s")
        return self._near(stamp, *after)

    def _near(self, stamp: float, time: float, state: NDArray[np.float64]) -> NDArray[np.float64]:
        if abs(stamp - time) > self._tolerance:
            raise PolicyError(
                "ee_state",
                got=f"nearest at {time:.3f} s",
                expected=f"within {self._tolerance} s of {stamp:.3f} s",
            )
        return state
