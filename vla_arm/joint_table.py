"""The one table of each arm: MJCF, URDF, kinematics and limits all come from it.

Numbers of the ARX X5 and L5: URDFs and configuration of the arx5-sdk (MIT). The limits in the URDFs
are placeholders; the ones here are the SDK configuration's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.errors import ArmError

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Joint:
    """A revolute joint and the link that it moves.

    Attributes:
        name: of the joint.
        origin: of the joint's frame in the parent link's [m].
        rpy: roll, pitch, yaw of that frame in the parent's, about fixed axes [rad].
        axis: of rotation, in the joint's frame.
        lower, upper: position limits [rad].
        velocity: largest speed [rad/s].
        torque: largest torque [Nm].
        mass: of the link [kg].
    """

    name: str
    origin: Vector
    rpy: Vector
    axis: Vector
    lower: float
    upper: float
    velocity: float
    torque: float
    mass: float


@dataclass(frozen=True)
class ArmModel:
    """An arm of six joints with a parallel gripper.

    Attributes:
        name: model name.
        joints: from the base outwards.
        base_mass: [kg].
        eef_offset: ``eef_link`` in the last link's frame, same orientation [m].
        finger_origin: pivot plane of the fingers in the last link's frame, y is the half gap when
            closed with bare fingers [m].
        gripper_max: largest opening [m]; each finger moves half of it.
    """

    name: str
    joints: tuple[Joint, ...]
    base_mass: float
    eef_offset: Vector
    finger_origin: Vector
    gripper_max: float = 0.088

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names from the base outwards."""
        return tuple(joint.name for joint in self.joints)

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lower position limits [rad]. Shape (6,)."""
        return np.array([joint.lower for joint in self.joints])

    @property
    def upper(self) -> NDArray[np.float64]:
        """Upper position limits [rad]. Shape (6,)."""
        return np.array([joint.upper for joint in self.joints])

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Largest joint speeds [rad/s]. Shape (6,)."""
        return np.array([joint.velocity for joint in self.joints])


X5 = ArmModel(
    name="X5",
    joints=(
        Joint("joint1", (0, 0, 0.0603), (0, 0, 0), (0, 0, 1), -3.14, 2.618, 5.0, 30.0, 0.064),
        Joint("joint2", (0.02, 0, 0.0402), (0, 0, 0), (0, 1, 0), -0.05, 3.5, 5.0, 40.0, 1.165),
        Joint("joint3", (-0.264, 0, 0), (-math.pi, 0, 0), (0, 1, 0), -0.1, 3.2, 5.5, 30.0, 0.546),
        Joint("joint4", (0.245, 0, -0.056), (0, 0, 0), (0, 1, 0), -1.6, 1.55, 5.5, 15.0, 0.081),
        Joint(
            "joint5",
            (0.06575, -0.001, -0.0825),
            (0, 0, 0),
            (0, 0, 1),
            -1.57,
            1.57,
            5.0,
            10.0,
            0.655,
        ),
        Joint(
            "joint6", (0.02845, 0, 0.0825), (-math.pi, 0, 0), (1, 0, 0), -2.0, 2.0, 5.0, 10.0, 0.581
        ),
    ),
    base_mass=0.428,
    eef_offset=(0.145, 0.0, 0.0),
    finger_origin=(0.0866, 0.0249, 0.0),
)
L5 = ArmModel(
    name="L5",
    joints=(
        Joint("joint1", (0, 0, 0.0565), (0, 0, 0), (0, 0, 1), -3.14, 2.618, 5.0, 30.0, 0.09728),
        Joint("joint2", (0.02, 0, 0.047), (0, 0, 0), (0, 1, 0), -0.05, 3.5, 5.0, 40.0, 1.1477),
        Joint("joint3", (-0.264, 0, 0), (-math.pi, 0, 0), (0, 1, 0), -0.1, 3.2, 5.5, 30.0, 0.66),
        Joint("joint4", (0.245, 0, -0.06), (0, 0, 0), (0, 1, 0), -1.6, 1.55, 5.5, 15.0, 0.11714),
        Joint(
            "joint5",
            (0.06775, -0.00005, -0.0865),
            (0, 0, 0),
            (0, 0, 1),
            -1.57,
            1.57,
            5.0,
            10.0,
            0.6353,
        ),
        Joint(
            "joint6", (0.02895, 0, 0.0865), (-math.pi, 0, 0), (1, 0, 0), -2.0, 2.0, 5.0, 10.0, 0.581
        ),
    ),
    base_mass=0.42272,
    eef_offset=(0.155, 0.0, 0.0),
    finger_origin=X5.finger_origin,
)

HOME: NDArray[np.float64] = np.array([-0.00333, 1.6964, 1.65892, -1.53331, 0.0, -0.00333])
"""Gripper straight down at x 0.30, y 0, z 0.17 m: both cameras see the table [rad]."""
HOME.setflags(write=False)

ARMS = {arm.name: arm for arm in (X5, L5)}
OUTSIDE = 0.02
"""A joint further than this outside its range is not moved back: it must have been guided there,
and a command within the range would be a leap [rad]."""


def outside(positions: NDArray[np.float64], lower: ArrayLike, upper: ArrayLike) -> str:
    """Which joint is outside its range by more than OUTSIDE, in words; empty if none is.

    Args:
        positions: measured. Shape (6,) [rad].
        lower: ends of the ranges. Shape (6,) [rad].
        upper: the other ends.
    """
    excess = np.abs(positions - np.clip(positions, lower, upper))
    worst = int(np.argmax(excess))
    if excess[worst] <= OUTSIDE:
        return ""
    return f"joint {worst + 1} is {excess[worst]:.2f} rad outside its range: guide it back"


def get_arm(name: str) -> ArmModel:
    """Look an arm up by its name.

    Raises:
        ArmError: no arm has that name.
    """
    if name not in ARMS:
        raise ArmError("arm model", got=repr(name), expected=f"one of {sorted(ARMS)}")
    return ARMS[name]
