"""Expert of the push task: closed fingers behind the object, low, straight at the zone.

The fingers push with the flat outer side of a pad. Contact there is stable: the object stays on it
as long as the hand is about behind it, so the hand steers by going where the object must go.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.experts.funnel import descend
from vla_sim.experts.grasp import MOST_TURN
from vla_sim.experts.hand import CLOSED, Hand
from vla_sim.experts.motion import Waypoint, wrapped, yaw_of
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

LOW: Final = 0.018
"""Height of the tool point that pushes [m]."""
HOVER: Final = 0.085
"""Height of the tool point on its way behind an object [m]."""
RISEN: Final = 0.12
"""Height of the tool point at the end [m]."""
PAD: Final = 0.006
"""From the tool point to the outer side of a closed pad [m]."""
RUN_UP: Final = 0.022
"""Free distance between the fingers that come down and the object [m]."""
SHUT: Final = 0.015
"""Opening under which the fingers push as one [m]."""
ON_COURSE: Final = 0.013
"""Sideways error of the hand behind the object beyond which it starts anew [m]."""
STRAIGHT: Final = 0.35
"""Yaw error beyond which it does [rad]."""
LEAD: Final = 0.05
"""How far ahead of the present contact it aims [m]."""
ARRIVED, SETTLED = 0.010, 0.022
"""Distance from the zone's middle at which pushing ends, and that is good enough after [m]."""


class PushPlan:
    """Everything is decided from where object, zone and hand are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        assert aim.goal is not None
        centre, goal = truth.position(aim.target)[:2], truth.position(aim.goal)[:2]
        distance = float(np.linalg.norm(goal - centre))
        if distance < (ARRIVED if truth.touched(aim.target) else SETTLED):
            return _leave(truth, aim.target)
        course = (goal - centre) / distance
        yaw = _yaw(truth, course)
        back = _half_extent(truth, aim.target, course) + PAD
        if _is_behind(truth, centre, course, back, yaw):
            ahead = centre + course * (min(LEAD, distance) - back)
            return Waypoint(np.array([*ahead, LOW]), yaw, CLOSED, True, "push")
        start = np.array([*(centre - course * (back + RUN_UP)), LOW])
        ready = truth.gripper_opening() < SHUT
        return descend(truth, start, yaw, CLOSED, HOVER, ready=ready)


def _yaw(truth: Truth, course: NDArray[np.float64]) -> float:
    """The reachable yaw nearest to the present one, with a pad's outer side to the object."""
    pose = truth.commanded_pose()
    now = yaw_of(Rotation.from_rotvec(pose[3:]))
    azimuth = float(np.arctan2(pose[1], pose[0]))
    across = float(np.arctan2(course[1], course[0])) - np.pi / 2
    both = [wrapped(across), wrapped(across + np.pi)]
    reachable = [yaw for yaw in both if abs(wrapped(yaw - azimuth)) <= MOST_TURN]
    return min(reachable, key=lambda yaw: abs(wrapped(yaw - now)))


def _half_extent(truth: Truth, name: str, course: NDArray[np.float64]) -> float:
    """How far the object reaches from its centre against the course [m]."""
    axes = truth.rotation(name).as_matrix()[:2]
    return float(np.abs(course @ axes) @ np.array(truth.item(name).size) / 2)


def _is_behind(
    truth: Truth,
    centre: NDArray[np.float64],
    course: NDArray[np.float64],
    back: float,
    yaw: float,
) -> bool:
    """Whether the hand is low, shut, straight and behind the object."""
    measured = truth.gripper_pose()
    offset = measured[:2] - centre
    sideways = abs(float(course[0] * offset[1] - course[1] * offset[0]))
    along = -float(course @ offset)
    turn = abs(wrapped(yaw - yaw_of(Rotation.from_rotvec(measured[3:])), np.pi))
    return (
        measured[2] < LOW + 0.012
        and sideways < ON_COURSE
        and 0.4 * back < along < back + 2 * RUN_UP
        and turn < STRAIGHT
        and truth.gripper_opening() < SHUT
    )


def _leave(truth: Truth, name: str) -> Waypoint:
    """Back off, straight up, stay."""
    pose, measured = truth.commanded_pose(), truth.gripper_position()
    yaw = yaw_of(Rotation.from_rotvec(pose[3:]))
    away = measured[:2] - truth.position(name)[:2]
    distance = float(np.linalg.norm(away))
    clear = max(truth.item(name).size[:2]) / 2 + PAD + 0.012
    if measured[2] < HOVER - 0.02 and (truth.touched(name) or distance < clear):
        back = measured[:2] + 0.02 * away / max(distance, 1e-6)
        return Waypoint(np.array([*back, measured[2]]), yaw, CLOSED, True, "leave")
    phase = "hold" if measured[2] > RISEN - 0.01 else "leave"
    return Waypoint(np.array([*pose[:2], RISEN]), yaw, CLOSED, True, phase)
