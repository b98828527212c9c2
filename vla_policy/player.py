"""The chunk player: what the newest chunk says is due now.

Targets are absolute and carry their time, so the player interpolates and never sums: a tick that is
skipped loses nothing, and a chunk that comes late is joined where the time has got to.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_policy.contract import TARGET_SIZE, ActionChunk
from vla_policy.errors import PolicyError
from vla_policy.trajectory import between, due_times


class ChunkPlayer:
    """Plays the newest chunk by its time.

    Attributes:
        newest: the chunk in play, or None.
    """

    def __init__(self) -> None:
        self.newest: ActionChunk | None = None
        self._times: NDArray[np.float64] = np.zeros(0)
        self._poses: NDArray[np.float64] = np.zeros((0, TARGET_SIZE))
        self._last: tuple[float, NDArray[np.float64]] | None = None

    def reset(self, pose: ArrayLike) -> None:
        """Forget all chunks; the next one starts from ``pose``.

        Args:
            pose: what was last commanded: position [m], rotation vector [rad], opening [m].
                Shape (7,).

        Raises:
            PolicyError: not seven finite numbers.
        """
        start = np.asarray(pose, dtype=np.float64)
        if start.shape != (TARGET_SIZE,) or not np.isfinite(start).all():
            raise PolicyError("pose", got=start, expected=f"{TARGET_SIZE} finite numbers")
        self.newest = None
        self._last = (-math.inf, start.copy())

    def add(self, chunk: ActionChunk) -> None:
        """Take a chunk; one older than the newest, by (stamp, sequence), is dropped.

        Raises:
            PolicyError: the chunk has no targets, a number in it is not finite, or its step is not
                positive. The chunk in play stays.
        """
        newest = self.newest
        if newest and (chunk.stamp, chunk.sequence) <= (newest.stamp, newest.sequence):
            return
        due, poses = _schedule(chunk)
        if self._last is not None:
            # From what was last commanded, at the time it was, to the next target still to come:
            # never a jump. A command of long ago stands until the chunk's stamp.
            time, pose = self._last
            if time < chunk.stamp - chunk.step_dt:
                time = chunk.stamp
            ahead = due > time
            if ahead.any():
                due = np.concatenate(([time], due[ahead]))
                poses = np.concatenate((pose[None], poses[ahead]))
        self.newest, self._times, self._poses = chunk, due, poses

    def sample(self, time: float) -> NDArray[np.float64] | None:
        """What is due at ``time`` [s], and remember it as commanded.

        Returns:
            Position [m] and opening [m] interpolated linearly, rotation vector [rad] along the
            shortest turn. Shape (7,). None when there is no chunk or it has run out.
        """
        if self.newest is None or self.exhausted(time):
            return None
        times, poses = self._times, self._poses
        after = int(np.searchsorted(times, time))
        if after == 0 or after == len(times):
            pose = poses[min(after, len(times) - 1)].copy()
        else:
            share = (time - times[after - 1]) / (times[after] - times[after - 1])
            pose = between(poses[after - 1], poses[after], float(share))
        self._last = (time, pose.copy())
        return pose

    def exhausted(self, time: float) -> bool:
        """Whether the newest chunk has nothing to say about ``time`` [s] any more."""
        return self.newest is None or not time <= self._times[-1] + 1e-9

    def next_due(self, steps: int) -> float:
        """Time [s] at which a new chunk is wanted, ``steps`` into the newest; -inf without one."""
        if self.newest is None:
            return -math.inf
        return self.newest.stamp + steps * self.newest.step_dt


def _schedule(chunk: ActionChunk) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each target is due, Shape (T,) [s], and the targets. Shape (T, 7)."""
    poses = np.asarray(chunk.targets, dtype=np.float64)
    if poses.ndim != 2 or poses.shape[1] != TARGET_SIZE or len(poses) == 0:
        raise PolicyError("chunk", got=f"targets of shape {poses.shape}", expected="(T, 7), T > 0")
    if not np.isfinite(poses).all() or not math.isfinite(chunk.stamp):
        raise PolicyError("chunk", got="a number that is not finite", expected="finite numbers")
    if not 0.0 < chunk.step_dt < math.inf:
        raise PolicyError("chunk step_dt", got=chunk.step_dt, expected="a positive number [s]")
    return due_times(chunk), poses
