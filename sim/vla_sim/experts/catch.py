"""Expert of the catch task: follows the object from where it is now, closes, lifts.

It looks at present positions only. Where the object is going, a single picture does not show, so a
policy could not learn from an expert that knew.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.grasp import Grasp, find_grasp
from vla_sim.experts.hand import CLOSED, OPEN, Hand
from vla_sim.experts.motion import Waypoint, wrapped, yaw_of
from vla_sim.experts.pick import LIFTED
from vla_sim.scene.fixtures.turntable import DISC_HEIGHT
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

LOWEST: Final = DISC_HEIGHT + 0.017
"""Lowest tool point, so that the fingertips stay off the disc [m]."""
HOVER: Final = 0.045
"""Height of the tool point over an object's top before it goes down [m]."""
INSIDE: Final = (0.009, 0.016)
"""Errors across and along the closing axis within which the open fingers clear the object [m]."""
TURNED: Final = 0.30
"""Yaw error within which they do [rad]."""
OUTSIDE: Final = 2.5
"""Multiple of these errors from which the hand stays at hover height."""
NEAR: Final = 0.06
"""Sideways distance from which the hand goes slowly [m]."""


class CatchPlan:
    """Everything is decided from where object and gripper are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        pose = truth.commanded_pose()
        yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
        grasp = find_grasp(truth, aim.target, yaw)
        end = np.array([*grasp.position[:2], max(LOWEST, grasp.position[2])])
        if not hand.closed:
            return _follow(truth, grasp, end)
        if not hand.settled:
            position = pose[:3] if truth.touched(aim.target) else end
            return Waypoint(position, yaw, CLOSED, True, "close")
        if hand.holds(truth, aim.target):
            return _lift(truth, pose, yaw)
        return Waypoint(pose[:3] + (0.0, 0.0, 0.03), yaw, OPEN, True, "retry")


def _follow(truth: Truth, grasp: Grasp, end: NDArray[np.float64]) -> Waypoint:
    """Over the object, down as far as the fingers would clear it, and closed at the end."""
    measured = truth.gripper_pose()
    error = _error(measured, grasp, end)
    share = float(np.clip((error - 1.0) / (OUTSIDE - 1.0), 0.0, 1.0))
    hover = grasp.top + HOVER
    position = np.array([*end[:2], end[2] + share * (hover - end[2])])
    away = float(np.linalg.norm(measured[:2] - end[:2]))
    if away > NEAR and measured[2] < hover - 0.02:  # up before sideways
        position = np.array([*measured[:2], hover])
    if error < 1.0 and measured[2] < end[2] + 0.008:
        return Waypoint(end, grasp.yaw, CLOSED, True, "close")
    return Waypoint(position, grasp.yaw, OPEN, away < NEAR, "approach")


def _error(measured: NDArray[np.float64], grasp: Grasp, end: NDArray[np.float64]) -> float:
    """How far the fingers are from clearing the object on their way down: below 1 they do."""
    yaw = yaw_of(Rotation.from_rotvec(measured[3:]))
    x, y = end[:2] - measured[:2]
    across = abs(np.cos(yaw) * x + np.sin(yaw) * y)
    along = abs(np.cos(yaw) * y - np.sin(yaw) * x)
    turn = abs(wrapped(grasp.yaw - yaw))
    return float(max(across / INSIDE[0], along / INSIDE[1], turn / TURNED))


def _lift(truth: Truth, pose: NDArray[np.float64], yaw: float) -> Waypoint:
    up = np.array([*pose[:2], LIFTED])
    phase = "hold" if truth.gripper_position()[2] > LIFTED - 0.01 else "lift"
    return Waypoint(up, yaw, CLOSED, True, phase)
