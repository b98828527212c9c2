"""Where the front camera stands, and how a camera's pose is disturbed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class FrontCamera:
    """The fixed camera opposite the arm, cropped tight on the workspace.

    Attributes:
        position: where it stands in ``base_link`` [m].
        look_at: the point in the middle of its picture [m].
        fovy: vertical field of view [deg].
    """

    position: tuple[float, float, float] = (0.98, 0.0, 0.80)
    look_at: tuple[float, float, float] = (0.26, 0.0, 0.05)
    fovy: float = 29.0

    def quaternion(self) -> NDArray[np.float64]:
        """Orientation w x y z of the camera frame (x right, y up, looking along -z)."""
        back = np.array(self.position) - np.array(self.look_at)
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        matrix = np.stack([right, np.cross(back, right), back], axis=1)
        return Rotation.from_matrix(matrix).as_quat(scalar_first=True)


def displaced(
    position: NDArray[np.float64],
    quaternion: NDArray[np.float64],
    offset: tuple[float, float, float],
    turn: tuple[float, float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A camera pose moved a little in its own axes.

    Args:
        position: Shape (3,) [m].
        quaternion: w x y z. Shape (4,).
        offset: displacement in camera axes [m].
        turn: rotation vector in camera axes [rad].

    Returns:
        The new position [m] and quaternion w x y z.
    """
    rotation = Rotation.from_quat(quaternion, scalar_first=True)
    turned = rotation * Rotation.from_rotvec(turn)
    return position + rotation.apply(offset), turned.as_quat(scalar_first=True)
