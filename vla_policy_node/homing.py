"""The way home in joint space: slow at both ends, at most so fast between."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_arm.joint_table import HOME


class Homing:
    """A motion from where the arm is to its home configuration.

    Args:
        positions: joint positions at the start. Shape (6,) [rad].
        gripper: opening, which stays as it is [m].
        speed: greatest joint speed [rad/s].
    """

    def __init__(self, positions: NDArray[np.float64], gripper: float, speed: float) -> None:
        self._start, self._gripper = positions.copy(), gripper
        self._way = np.asarray(HOME, dtype=np.float64) - positions
        # A half cosine is at its middle pi/2 times as fast as on average.
        self.duration = float(np.abs(self._way).max()) * math.pi / 2.0 / speed
        self._time = 0.0

    @property
    def done(self) -> bool:
        """Whether the last step was the last."""
        return self._time >= self.duration

    def way(self, count: int) -> NDArray[np.float64]:
        """Joint positions on the way, evenly. Shape (count, 6) [rad]."""
        return self._start + np.linspace(0.0, 1.0, count)[:, None] * self._way

    def step(self, dt: float) -> tuple[NDArray[np.float64], float]:
        """Return joint targets, Shape (6,) [rad], and opening [m] after another ``dt`` [s]."""
        self._time += dt
        share = 1.0 if self.done else (1.0 - math.cos(math.pi * self._time / self.duration)) / 2.0
        return self._start + share * self._way, self._gripper
