"""The chunk player: what the newest chunk says is due now.

Targets are absolute and carry their time, so the player interpolates and never sums: a tick that is
skipped loses nothing, and a chunk that comes late is joined where the time has got to.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from vla_policy.contract import TARGET_SIZE, ActionChunk
from vla_policy.errors import PolicyError


class ChunkPlayer:
    """Plays the newest chunk by its time.

    Attributes:
        newest: the chunk in play, or None.
        ignored: chunks that came out of order and were dropped.
    """

    def __init__(self) -> None:
        self.newest: ActionChunk | None = None
        self.ignored = 0
        self._times: NDArray[np.float64] = np.zeros(0)
        self._poses: NDArray[np.float64] = np.zeros((0, TARGET_SIZE))
        self._last: tuple[float, NDArray[np.float64]] | None = None

    def reset(self, pose: ArrayLike) -> None:
        """Forget all chunks; the next one starts from ``pose``, what was last commanded. Shape (7,).

        Raises:
            PolicyError: not seven finite numbers.
        """
        start = np.asarray(pose, dtype=np.float64)
        if start.shape != (TARGET_SIZE,) or not np.isfinite(start).all():
            raise PolicyError("pose", got=start, expected="7 finite numbers")
        self.newest = None
        self.ignored = 0
        self._last = (-math.inf, start.copy())

    def add(self, chunk: ActionChunk) -> None:
        """Take a chunk; one older than the newest, by (stamp, sequence), is counted and dropped."""
        newest = self.newest
        if newest and (chunk.stamp, chunk.sequence) <= (newest.stamp, newest.sequence):
            self.ignored += 1
            return
        self.newest = chunk
        due = chunk.stamp + chunk.step_dt * np.arange(1, len(chunk.targets) + 1)
        poses = chunk.targets.astype(np.float64)
        if self._last is not None:
            # Join from what was last commanded, at the time it was, not from the measured pose.
            time, pose = self._last
            time = min(max(time, chunk.stamp - chunk.step_dt), float(due[0]) - 1e-9)
            due, poses = np.append(time, due), np.vstack([pose, poses])
        self._times, self._poses = due, poses

    def sample(self, time: float) -> NDArray[np.float64] | None:
        """What is due at ``time`` [s]: position and gripper linear, rotation by slerp. Shape (7,).

        None when there is no chunk or it has run out.
        """
        if self.newest is None or self.exhausted(time):
            return None
        times, poses = self._times, self._poses
        after = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1))
        share = (time - times[after - 1]) / (times[after] - times[after - 1])
        share = float(np.clip(share, 0.0, 1.0))
        pose = (1.0 - share) * poses[after - 1] + share * poses[after]
        ends = Rotation.from_rotvec(poses[after - 1 : after + 1, 3:6])
        pose[3:6] = Slerp([0.0, 1.0], ends)(share).as_rotvec()
        self._last = (time, pose.copy())
        return pose

    def exhausted(self, time: float) -> bool:
        """Whether the newest chunk has nothing to say about ``time`` [s] any more."""
        return self.newest is None or time > self._times[-1] + 1e-9

    def next_due(self, steps: int) -> float:
        """Time at which a new chunk is wanted after ``steps`` of the newest [s]; -inf without one."""
        if self.newest is None:
            return -math.inf
        return self.newest.stamp + steps * self.newest.step_dt
