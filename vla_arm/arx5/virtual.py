"""A driver without an arm: everything runs, nothing is sent."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from vla_arm.arx5.wire import JOINTS, Mode, Report
from vla_arm.joint_table import HOME


class VirtualDriver:
    """Says that the arm is where it was sent, from HOME on. Interface of :class:`Driver`.

    Args:
        period: between reports [s].
        clock: steady clock [s].
    """

    restarts = 0
    pid = None

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._period, self._clock = period, clock
        self._positions, self._gripper = np.array(HOME), 0.0
        self._begin, self._tick = clock(), -1
        self._engaged = False
        self.trouble = ""
        self.report: Report | None = None

    @property
    def engaged(self) -> bool:
        """Whether targets are followed."""
        return self._engaged

    def start(self) -> None:
        """Begin to report."""
        self._begin, self._tick = self._clock(), -1

    def engage(self) -> str:
        """Follow from now on."""
        self._engaged = True
        return ""

    teach = engage

    def damp(self) -> None:
        """Follow no more."""
        self._engaged = False

    def limit(self, torque_scale: float, speed_scale: float) -> None:
        """Nothing is limited: nothing is sent."""

    def follow(self, positions: ArrayLike, gripper: float) -> None:
        """Be there at once."""
        if self._engaged:
            self._positions, self._gripper = np.array(positions, dtype=np.float64), gripper

    def poll(self) -> list[Report]:
        """Report once a period."""
        now = self._clock()
        tick = int((now - self._begin) / self._period)
        if tick <= self._tick:
            return []
        self._tick = tick
        mode = Mode.ENGAGED if self._engaged else Mode.DAMPED
        zero = np.zeros(JOINTS)
        self.report = Report(mode, 0, tick, now, self._positions, zero, zero, self._gripper)
        return [self.report]

    def stop(self) -> None:
        """Nothing is to be stopped."""
        self._engaged = False
