"""Motion primitives of the experts: poses of a downward gripper, and steps toward a goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.constants import STEP_DT


@dataclass(frozen=True)
class Pace:
    """How fast an expert moves.

    Attributes:
        speed: largest speed of the tool point [m/s].
        slow_speed: largest speed near objects [m/s].
        acceleration: by which it starts [m/s^2].
        braking: by which it stops [m/s^2].
        turn_speed: largest angular speed [rad/s].
        turn_braking: by which it stops turning [rad/s^2].
    """

    speed: float = 0.28
    slow_speed: float = 0.16
    acceleration: float = 1.5
    braking: float = 0.7
    turn_speed: float = 1.4
    turn_braking: float = 4.0


@dataclass(frozen=True)
class Waypoint:
    """Where an expert wants to be next.

    Attributes:
        position: of the tool point in ``base_link``. Shape (3,) [m].
        yaw: rotation of the downward gripper about the vertical [rad].
        opening: of the gripper [m].
        slow: keep to the pace's slow speed.
        phase: what the expert is doing, in one word.
    """

    position: NDArray[np.float64]
    yaw: float
    opening: float
    slow: bool = False
    phase: str = ""


def downward(yaw: float) -> Rotation:
    """Gripper pointing down, turned by ``yaw`` [rad] about the vertical; fingers close along y."""
    return Rotation.from_euler("ZY", [yaw, np.pi / 2])


def yaw_of(rotation: Rotation) -> float:
    """Yaw [rad] of a gripper that points about downward: the direction of its closing axis."""
    across = rotation.as_matrix()[:, 1]
    return float(np.arctan2(-across[0], across[1]))


def wrapped(angle: float, period: float = 2 * np.pi) -> float:
    """The angle within half a ``period`` of 0 [rad]."""
    return float((angle + period / 2) % period - period / 2)


class Motion:
    """Turns waypoints into commanded poses one step apart, with capped speed.

    It keeps only its last speed, so it goes on from wherever the arm was really sent.

    Args:
        pace: how fast.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self._speed = 0.0

    def advance(self, pose: NDArray[np.float64], waypoint: Waypoint) -> NDArray[np.float64]:
        """The commanded pose and opening one step later.

        Args:
            pose: last commanded position [m] and rotation vector [rad]. Shape (6,).
            waypoint: where to go.

        Returns:
            Position [m], rotation vector [rad], opening [m]. Shape (7,).
        """
        pace = self.pace
        way = waypoint.position - pose[:3]
        distance = float(np.linalg.norm(way))
        cap = pace.slow_speed if waypoint.slow else pace.speed
        speed = min(
            cap,
            float(np.sqrt(2 * pace.braking * distance)),
            self._speed + pace.acceleration * STEP_DT,
            distance / STEP_DT,
        )
        self._speed = speed
        position = pose[:3] + way * (speed * STEP_DT / max(distance, 1e-9))
        rotation = self._turned(Rotation.from_rotvec(pose[3:]), downward(waypoint.yaw))
        return np.concatenate([position, rotation.as_rotvec(), [waypoint.opening]])

    def _turned(self, start: Rotation, end: Rotation) -> Rotation:
        """``start`` turned toward ``end`` by as much as one step allows."""
        way = (end * start.inv()).as_rotvec()
        angle = float(np.linalg.norm(way))
        speed = min(
            self.pace.turn_speed,
            float(np.sqrt(2 * self.pace.turn_braking * angle)),
            angle / STEP_DT,
        )
        return Rotation.from_rotvec(way * (speed * STEP_DT / max(angle, 1e-9))) * start
