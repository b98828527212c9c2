"""The way to an object: a funnel that ends between the fingers or just above the top."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.grasp import Grasp, find_grasp
from vla_sim.experts.hand import OPEN
from vla_sim.experts.motion import Waypoint, wrapped, yaw_of
from vla_sim.truth import Truth

HOVER: Final = 0.055
"""Height of the tool point over an object's top before it goes down [m]."""
FUNNEL: Final = 0.008
"""Sideways error within which it goes all the way down [m]."""
FUNNEL_TOP: Final = 0.035
"""Sideways error from which it stays at hover height [m]."""
SLENDER_TOP: Final = 0.018
"""The same for what is easily knocked over [m]."""
SLENDER: Final = 2.2
"""Height of such things, in widths."""
TURN_WEIGHT: Final = 0.06
"""How much a yaw error counts as sideways error [m/rad]."""


def approach(truth: Truth, name: str, end_height: float | None = None) -> tuple[Waypoint, Grasp]:
    """The next waypoint on the way to an object, with an open gripper.

    Args:
        truth: the world.
        name: the object.
        end_height: height of the tool point over the object's top at the end [m]; None to end at
            the grasp.

    Returns:
        The waypoint, and the grasp that it leads to.
    """
    pose = truth.commanded_pose()
    yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
    grasp = find_grasp(truth, name, yaw)
    end = grasp.position.copy()
    if end_height is not None:
        end[2] = grasp.top + end_height
    measured = truth.gripper_position()
    sideways = float(np.linalg.norm((measured - end)[:2]))
    sideways += TURN_WEIGHT * abs(wrapped(grasp.yaw - yaw))
    hover = max(grasp.top + HOVER, end[2])
    far = SLENDER_TOP if _is_slender(truth, name) else FUNNEL_TOP
    share = float(np.clip((sideways - FUNNEL) / (far - FUNNEL), 0.0, 1.0))
    position = end.copy()
    position[2] = end[2] + share * (hover - end[2])
    held_back = _rise_first(measured, position, hover, sideways)
    slow = sideways < FUNNEL_TOP and measured[2] < hover + 0.03
    return Waypoint(held_back, grasp.yaw, OPEN, slow, "approach"), grasp


def _rise_first(
    measured: NDArray[np.float64], position: NDArray[np.float64], hover: float, sideways: float
) -> NDArray[np.float64]:
    """Where it is far and low, up comes before sideways, so that nothing is swept away."""
    low = hover - 0.03 - measured[2]
    if sideways < FUNNEL_TOP or low <= 0.0:
        return position
    return np.array([measured[0], measured[1], hover])


def _is_slender(truth: Truth, name: str) -> bool:
    item = truth.item(name)
    return item.height > SLENDER * item.size[0]


def arrived(truth: Truth, grasp: Grasp) -> bool:
    """Whether the open fingers are around the object."""
    pose = truth.gripper_pose()
    error = pose[:3] - grasp.position
    turn = abs(wrapped(grasp.yaw - yaw_of(Rotation.from_rotvec(pose[3:]))))
    return float(np.linalg.norm(error[:2])) < 0.007 and abs(error[2]) < 0.007 and turn < 0.12
