"""What every builder of the model shares."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

HIDDEN_GROUP: Final = 4
"""Geoms and sites of this group are not drawn."""
PARKED: Final = -3.0
"""Height at which unused things wait, untouchable, under the table [m]."""


def yaw_quaternion(yaw: float) -> np.ndarray:
    """Rotation about z [rad] as w x y z. Shape (4,)."""
    return Rotation.from_euler("z", yaw).as_quat(scalar_first=True)
