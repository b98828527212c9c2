"""Expert of the open task: grasp the knob from above, pull along the drawer, let go, rise."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.funnel import descend
from vla_sim.experts.hand import CLOSED, OPEN, Hand
from vla_sim.experts.motion import Waypoint, wrapped, yaw_of
from vla_sim.scene.fixtures import Fixture
from vla_sim.scene.fixtures.drawer import KNOB
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

GRASP_HEIGHT: Final = 0.044
"""Height of the tool point at the grasp [m]."""
HOVER: Final = KNOB[2] + 0.055
"""Height of the tool point from which it goes down on a knob [m]."""
RISEN: Final = 0.12
"""Height of the tool point that it goes back to [m]."""
GRIPPED: Final = 2 * KNOB[1] + 0.003
"""Opening of the gripper up to which the fingers are at the knob [m]."""
PULLED: Final = 0.062
"""Travel that it pulls to [m]."""
ENOUGH: Final = 0.056
"""Travel from which it lets go [m]."""
STAYS: Final = 0.052
"""Travel from which it does not come back once it has let go [m]."""


class OpenPlan:
    """Everything is decided from where drawer and gripper are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        chest, pose = truth.layout.fixture(aim.target), truth.commanded_pose()
        travel = truth.travel(aim.target)
        if travel >= (ENOUGH if hand.closed else STAYS):
            return self._leave(truth, pose)
        knob = truth.position(aim.target)
        yaw = wrapped(chest.yaw + np.pi)
        if not hand.closed:
            end = np.array([*knob[:2], GRASP_HEIGHT])
            waypoint = descend(truth, end, yaw, OPEN, HOVER)
            if _around(truth, end, yaw):
                return replace(waypoint, opening=CLOSED, phase="close")
            return waypoint
        own_yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
        if truth.gripper_opening() > GRIPPED and not hand.settled:
            return Waypoint(pose[:3], own_yaw, CLOSED, True, "close")
        if not _holds(truth, knob):
            return Waypoint(pose[:3] + (0.0, 0.0, 0.02), own_yaw, OPEN, True, "retry")
        return Waypoint(_pulled(chest), yaw, CLOSED, True, "pull")

    def _leave(self, truth: Truth, pose: NDArray[np.float64]) -> Waypoint:
        """Open the fingers, then rise and stay."""
        yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
        height = truth.gripper_position()[2]
        if truth.gripper_opening() < 0.6 * OPEN and height < KNOB[2]:
            return Waypoint(pose[:3], yaw, OPEN, True, "release")
        up = np.array([*pose[:2], max(RISEN, pose[2])])
        return Waypoint(up, yaw, OPEN, True, "hold" if height > RISEN - 0.01 else "leave")


def _pulled(chest: Fixture) -> NDArray[np.float64]:
    """Where the tool point is when the drawer is out. Shape (3,) [m]."""
    return chest.at((KNOB[0] + PULLED, 0.0, GRASP_HEIGHT))


def _around(truth: Truth, end: NDArray[np.float64], yaw: float) -> bool:
    """Whether the open fingers are around the knob."""
    pose = truth.gripper_pose()
    error = pose[:3] - end
    turn = abs(wrapped(yaw - yaw_of(Rotation.from_rotvec(pose[3:]))))
    return float(np.linalg.norm(error[:2])) < 0.006 and abs(error[2]) < 0.008 and turn < 0.15


def _holds(truth: Truth, knob: NDArray[np.float64]) -> bool:
    """Whether the closed fingers have the knob between them."""
    away = truth.gripper_position() - knob
    gripped = KNOB[1] < truth.gripper_opening() < GRIPPED
    return gripped and float(np.linalg.norm(away[:2])) < 0.02 and away[2] < 0.0
