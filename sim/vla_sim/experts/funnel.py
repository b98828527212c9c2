"""The way to a point of a fixture, from above: over it first, then straight down."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.approach import FUNNEL_TOP, TURN_WEIGHT
from vla_sim.experts.motion import Waypoint, wrapped, yaw_of
from vla_sim.truth import Truth

NARROW: Final = 0.006
"""Sideways error within which it goes all the way down [m]."""


def descend(
    truth: Truth,
    end: NDArray[np.float64],
    yaw: float,
    opening: float,
    hover: float,
    ready: bool = True,
) -> Waypoint:
    """The next waypoint on the way to a point, in ``base_link``.

    Args:
        truth: the world.
        end: where the tool point shall end. Shape (3,) [m].
        yaw: of the gripper at the end [rad].
        opening: of the gripper [m].
        hover: height of the tool point on the way there [m].
        ready: whether it may go down yet.
    """
    measured = truth.gripper_pose()
    sideways = float(np.linalg.norm(measured[:2] - end[:2]))
    turn = abs(wrapped(yaw - yaw_of(Rotation.from_rotvec(measured[3:]))))
    error = sideways + TURN_WEIGHT * turn
    share = float(np.clip((error - NARROW) / (FUNNEL_TOP - NARROW), 0.0, 1.0)) if ready else 1.0
    position = np.array([*end[:2], end[2] + share * (hover - end[2])])
    if sideways > FUNNEL_TOP and measured[2] < hover - 0.03:  # up before sideways
        position = np.array([*measured[:2], hover])
    slow = sideways < FUNNEL_TOP and measured[2] < hover + 0.03
    return Waypoint(position, yaw, opening, slow, "approach")
