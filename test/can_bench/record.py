"""Every frame that the bench saw, for tests to judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from can_bench import frames

ROW = np.dtype([("time", "<f8"), ("id", "<u4"), ("length", "u1"), ("_", "V3"), ("data", "V8")])
"""Steady time of arrival [s] and the frame."""


@dataclass(frozen=True)
class Targets:
    """What one motor was told over time.

    Attributes:
        time: steady clock. Shape (n,) [s].
        position: Shape (n,) [rad], of the motor.
        kp, kd: gains. Shape (n,).
        velocity, effort: Shape (n,).
    """

    time: NDArray[np.float64]
    position: NDArray[np.float64]
    kp: NDArray[np.float64]
    kd: NDArray[np.float64]
    velocity: NDArray[np.float64]
    effort: NDArray[np.float64]

    def since(self, time: float) -> Targets:
        """Only what came after a steady time [s]."""
        keep = self.time > time
        return Targets(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


class Record:
    """The bench's file of frames.

    Args:
        path: of the file; it may still grow.
        kinds: id -> ``EC`` or ``DM``.
    """

    def __init__(self, path: Path, kinds: dict[int, str]) -> None:
        self._path, self.kinds = path, kinds

    def rows(self) -> NDArray[np.void]:
        """All frames from programs on the bus, oldest first."""
        raw = self._path.read_bytes()
        return np.frombuffer(raw[: len(raw) // ROW.itemsize * ROW.itemsize], dtype=ROW)

    def targets(self, motor: int, since: float = 0.0) -> Targets:
        """Commands to one motor that came after a steady time [s]; its words are left out."""
        rows = self.rows()
        rows = rows[(rows["id"] == motor) & (rows["time"] > since)]
        bits = np.frombuffer(rows["data"].tobytes(), dtype=">u8").astype(np.uint64)
        if self.kinds[motor] == "EC":
            keep = bits >> np.uint64(61) == 0
            fields = [(49, 12, frames.KP), (40, 9, frames.KD), (24, 16, frames.POSITION)]
            fields += [(12, 12, frames.EC_VELOCITY), (0, 12, frames.EC_CURRENT)]
        else:
            keep = bits >> np.uint64(8) != (1 << 56) - 1
            fields = [(24, 12, frames.KP), (12, 12, frames.KD), (48, 16, frames.POSITION)]
            fields += [(36, 12, frames.DM_VELOCITY), (0, 12, frames.DM_TORQUE)]
        kp, kd, position, velocity, effort = (
            frames.restore(
                (bits[keep] >> np.uint64(shift)) & np.uint64((1 << size) - 1), span, size
            )
            for shift, size, span in fields
        )
        return Targets(rows["time"][keep], position, kp, kd, velocity, effort)

    def last_change(self, since: float) -> float:
        """How long after a steady time [s] the target of any stiff motor last changed."""
        newest = since
        for motor in self.kinds:
            sent = self.targets(motor, since)
            stiff = (sent.kp > 0)[1:] & (np.abs(np.diff(sent.position)) > 1e-6)
            newest = max([newest, *sent.time[1:][stiff]])
        return float(newest - since)
