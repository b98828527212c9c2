"""Expert of the place task: grasp, carry over the container, lower, let go, rise."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.hand import CLOSED, OPEN, Hand
from vla_sim.experts.motion import Waypoint, yaw_of
from vla_sim.experts.pick import LIFTED, grasp_object
from vla_sim.scene.fixtures.containers import CONTAINER_FLOOR, CONTAINER_WALL
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

FINGERTIP: Final = 0.014
"""How far the fingertips reach below the tool point, with some room [m]."""
NEAR: Final = 0.012
"""Sideways error within which it lowers all the way [m]."""
FAR: Final = 0.035
"""Sideways error from which it stays at carrying height [m]."""


class PlacePlan:
    """Everything is decided from where object and gripper are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        assert aim.goal is not None
        pose = truth.commanded_pose()
        if not hand.closed and truth.over(aim.target, aim.goal):
            return self._leave(truth, aim.target, hand, pose)
        waypoint = grasp_object(truth, aim.target, hand)
        if waypoint is not None:
            return waypoint
        return self._carry(truth, aim.target, aim.goal, pose)

    def _leave(self, truth: Truth, target: str, hand: Hand, pose: NDArray[np.float64]) -> Waypoint:
        """Wait for the fingers to open, then rise and stay."""
        yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
        if not hand.settled and truth.gripper_opening() < 0.8 * OPEN:
            return Waypoint(pose[:3], yaw, OPEN, True, "release")
        up = np.array([pose[0], pose[1], LIFTED])
        phase = "hold" if truth.gripper_position()[2] > LIFTED - 0.01 else "leave"
        return Waypoint(up, yaw, OPEN, True, phase)

    def _carry(self, truth: Truth, target: str, goal: str, pose: NDArray[np.float64]) -> Waypoint:
        """Over the container along a funnel, then open."""
        measured, held = truth.gripper_position(), truth.position(target)
        container = truth.position(goal)
        azimuth = float(np.arctan2(container[1], container[0]))
        hanging = float(measured[2] - (2 * held[2] - truth.top(target)[2]))
        release = max(CONTAINER_FLOOR + hanging + 0.006, CONTAINER_WALL + FINGERTIP + 0.006)
        sideways = float(np.linalg.norm((held - container)[:2]))
        share = float(np.clip((sideways - NEAR) / (FAR - NEAR), 0.0, 1.0))
        shift = np.clip((measured - held)[:2], -0.02, 0.02)
        position = np.array([*(container[:2] + shift), release + share * (LIFTED - release)])
        if sideways > FAR and measured[2] < LIFTED - 0.03:
            position = np.array([pose[0], pose[1], LIFTED])
        elif sideways < NEAR and measured[2] < release + 0.006:
            return Waypoint(pose[:3], azimuth, OPEN, True, "release")
        return Waypoint(position, azimuth, CLOSED, sideways < FAR, "carry")
