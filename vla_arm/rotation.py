"""Rotation vectors and quaternions (w x y z), on MuJoCo's kernels: called every control tick."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]


def rotvec_to_quaternion(rotvec: ArrayLike) -> Vector:
    """Quaternion (w x y z) of a rotation vector [rad]."""
    vector = np.asarray(rotvec, dtype=np.float64)
    angle = float(np.sqrt(vector @ vector))
    half = 0.5 * angle
    scale = np.sin(half) / angle if angle > 1e-12 else 0.5
    return np.array((np.cos(half), *(scale * vector)))


def quaternion_to_rotvec(quaternion: Vector) -> Vector:
    """Rotation vector [rad] of a unit quaternion (w x y z), at most pi long."""
    rotvec = np.empty(3)
    mujoco.mju_quat2Vel(rotvec, quaternion, 1.0)
    return rotvec


def matrix_to_quaternion(matrix: Vector) -> Vector:
    """Quaternion (w x y z) of a rotation matrix. Shape (9,) or (3, 3)."""
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, matrix.ravel())
    return quaternion


def difference(target: Vector, start: Vector) -> Vector:
    """Rotation vector [rad], in the frame of ``start``, that turns ``start`` into ``target``.

    Args:
        target: unit quaternion (w x y z).
        start: unit quaternion (w x y z).
    """
    rotvec = np.empty(3)
    mujoco.mju_subQuat(rotvec, target, start)
    return rotvec


def turned(start: Vector, rotvec: Vector) -> Vector:
    """Quaternion of ``start`` turned by a rotation vector [rad] in its own frame."""
    result = np.empty(4)
    mujoco.mju_mulQuat(result, start, rotvec_to_quaternion(rotvec))
    return result
