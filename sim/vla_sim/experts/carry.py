"""Carrying what is held to a point: over it along a funnel, down, let go, rise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.hand import CLOSED, OPEN, Hand
from vla_sim.experts.motion import Waypoint, wrapped, yaw_of
from vla_sim.experts.pick import LIFTED
from vla_sim.truth import Truth

FINGERTIP: Final = 0.014
"""How far the fingertips reach below the tool point, with some room [m]."""
SLOW: Final = 0.035
"""Sideways error within which it goes slowly [m]."""


@dataclass(frozen=True)
class Destination:
    """Where a held object is to be let go.

    Attributes:
        point: for the middle of the object's lower side when the fingers open. Shape (3,) [m].
        yaw: of the gripper then [rad].
        lowest: height that the tool point keeps to [m], so that the fingers touch nothing.
        height: of the tool point on the way [m].
        low: distance under that height from which it goes straight up before sideways [m].
        near: sideways error within which it lowers all the way [m].
        far: sideways error from which it stays at ``height`` [m].
        foot: whether the object's lower end is to be brought there, also where it hangs askew,
            instead of its middle.
        turn_weight: how much a yaw error counts as sideways error [m/rad].
    """

    point: NDArray[np.float64]
    yaw: float
    lowest: float
    height: float = LIFTED
    low: float = 0.03
    near: float = 0.012
    far: float = 0.035
    foot: bool = False
    turn_weight: float = 0.0


def carry(truth: Truth, name: str, to: Destination) -> Waypoint:
    """The next waypoint of a held object on its way to a destination; opens at the end.

    Args:
        truth: the world.
        name: the object, held by the gripper.
        to: where it shall go.
    """
    pose, measured, middle = truth.commanded_pose(), truth.gripper_position(), truth.position(name)
    held = truth.foot(name) if to.foot else middle
    hanging = float(measured[2] - (2 * middle[2] - truth.top(name)[2]))
    release = max(to.point[2] + hanging, to.lowest)
    sideways = float(np.linalg.norm((held - to.point)[:2]))
    yaw = yaw_of(Rotation.from_rotvec(truth.gripper_pose()[3:]))
    sideways += to.turn_weight * abs(wrapped(to.yaw - yaw))
    if sideways > to.far and measured[2] < to.height - to.low:
        position = np.array([pose[0], pose[1], to.height])
    elif sideways < to.near and measured[2] < release + 0.006:
        return Waypoint(pose[:3], to.yaw, OPEN, True, "release")
    else:
        share = float(np.clip((sideways - to.near) / (to.far - to.near), 0.0, 1.0))
        shift = np.clip((measured - held)[:2], -0.02, 0.02)
        height = release + share * (to.height - release)
        position = np.array([*(to.point[:2] + shift), height])
    return Waypoint(position, to.yaw, CLOSED, sideways < max(SLOW, to.far), "carry")


def leave(truth: Truth, hand: Hand, height: float = LIFTED) -> Waypoint:
    """Wait for the fingers to open, then rise to ``height`` [m] and stay."""
    pose = truth.commanded_pose()
    yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
    if not hand.settled and truth.gripper_opening() < 0.8 * OPEN:
        return Waypoint(pose[:3], yaw, OPEN, True, "release")
    up = np.array([pose[0], pose[1], height])
    phase = "hold" if truth.gripper_position()[2] > height - 0.01 else "leave"
    return Waypoint(up, yaw, OPEN, True, phase)
