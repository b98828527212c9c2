"""A chunk as a path in time: when its targets are due, and where it is in between."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from vla_policy.contract import ActionChunk

Array = NDArray[np.floating[Any]]


def due_times(chunk: ActionChunk) -> NDArray[np.float64]:
    """When each target is due [s]. Shape (T,)."""
    steps = np.arange(1, len(chunk.targets) + 1, dtype=np.float64)
    return np.asarray(chunk.stamp + chunk.step_dt * steps, dtype=np.float64)


def poses_at(targets: Array, due: Array, times: Array) -> NDArray[np.float64]:
    """Poses at any times; before the first target and after the last, that target.

    Args:
        targets: position [m], rotation vector [rad], opening [m]. Shape (T, 7).
        due: when each is due [s], ascending. Shape (T,).
        times: the times asked for [s]. Shape (N,).

    Returns:
        Position and opening interpolated linearly, rotation along the shortest turn. Shape (N, 7).
    """
    inside = np.clip(times, due[0], due[-1])
    poses = np.empty((len(times), targets.shape[1]))
    for column in (0, 1, 2, 6):
        poses[:, column] = np.interp(inside, due, targets[:, column])
    if len(due) == 1:
        poses[:, 3:6] = targets[0, 3:6]
        return poses
    rotations = Rotation.from_rotvec(np.asarray(targets[:, 3:6], np.float64))
    poses[:, 3:6] = Slerp(due, rotations)(inside).as_rotvec()
    return poses


def between(start: Array, end: Array, share: ArrayLike) -> NDArray[np.float64]:
    """Poses at a share of the way, rotated along the shortest turn.

    Args:
        start: position [m], rotation vector [rad], opening [m]. Shape (..., 7).
        end: the same.
        share: 0 to 1. Shape (...).
    """
    part = np.asarray(share, np.float64)[..., None]
    poses = start + part * (end - start)
    first = Rotation.from_rotvec(start[..., 3:6])
    turn = (first.inv() * Rotation.from_rotvec(end[..., 3:6])).as_rotvec()
    poses[..., 3:6] = (first * Rotation.from_rotvec(part * turn)).as_rotvec()
    return poses
