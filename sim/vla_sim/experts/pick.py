"""Expert of the pick task, and the grasping that placing shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from vla_sim.experts.approach import approach, arrived
from vla_sim.experts.hand import CLOSED, OPEN, Hand
from vla_sim.experts.motion import Waypoint, yaw_of
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

LIFTED: Final = 0.12
"""Height of the tool point that an object is lifted to [m]."""


def grasp_object(truth: Truth, name: str, hand: Hand) -> Waypoint | None:
    """The next waypoint until the object is held, then None.

    An empty or slipped grasp opens the fingers and begins again.
    """
    if not hand.closed:
        waypoint, grasp = approach(truth, name)
        if arrived(truth, grasp):
            return replace(waypoint, opening=CLOSED, phase="close")
        return waypoint
    if hand.holds(truth, name) and hand.settled:
        return None
    pose = truth.commanded_pose()
    yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
    if not hand.settled:
        return Waypoint(pose[:3], yaw, CLOSED, True, "close")
    return Waypoint(pose[:3] + (0.0, 0.0, 0.02), yaw, OPEN, True, "retry")


class PickPlan:
    """Grasps, goes straight up and stays."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        waypoint = grasp_object(truth, aim.target, hand)
        if waypoint is not None:
            return waypoint
        pose = truth.commanded_pose()
        position = np.array([pose[0], pose[1], LIFTED])
        phase = "hold" if truth.gripper_position()[2] > LIFTED - 0.01 else "lift"
        yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
        return Waypoint(position, yaw, CLOSED, True, phase)
