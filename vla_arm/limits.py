"""What the arm may be asked to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_arm.errors import ArmError


@dataclass(frozen=True)
class ArmLimits:
    """Limits of commands. Those marked *limit* saturate; all others refuse.

    Attributes:
        workspace_min: lowest corner of the box that the tool point must stay in [m].
        workspace_max: highest corner of that box [m].
        table_z: height of the table in ``base_link`` [m].
        table_margin: how deep the arm's own shapes may be asked into the table [m].
        linear_speed: of the tool point, *limit* [m/s].
        angular_speed: of the tool, *limit* [rad/s].
        joint_speed_scale: share of the joint table's speeds, *limit*.
        gripper_rate: change of the opening, *limit* [m/s].
        orientation_jump: largest turn between what was last commanded and a new target [rad].
        ik_position_error: largest miss of the inverse kinematics [m].
        ik_rotation_error: largest miss of the inverse kinematics [rad].
        self_collision: whether configurations in which the arm touches itself are refused.
        command_timeout: oldest command [s]; also how long the arm goes on without one.
        observation_timeout: oldest observation that a command may rest on [s].
        clock_tolerance: how far a stamp may lie in the future [s].
        displacement: distance of a joint from where it is held, from which the arm counts as moved
            away by someone else [rad].

    Raises:
        ArmError: a limit is not positive, the box is empty or a share is more than 1.
    """

    workspace_min: tuple[float, float, float] = (0.08, -0.40, 0.0)
    workspace_max: tuple[float, float, float] = (0.60, 0.40, 0.50)
    table_z: float = 0.0
    table_margin: float = 0.004
    linear_speed: float = 0.6
    angular_speed: float = 3.0
    joint_speed_scale: float = 1.0
    gripper_rate: float = 0.25
    orientation_jump: float = 1.0
    ik_position_error: float = 0.005
    ik_rotation_error: float = 0.1
    self_collision: bool = True
    command_timeout: float = 0.2
    observation_timeout: float = 1.0
    clock_tolerance: float = 0.05
    displacement: float = 0.2

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if not 0.0 < value < np.inf:
                raise ArmError(name, got=value, expected="a positive number")
        if self.joint_speed_scale > 1.0:
            raise ArmError("joint_speed_scale", got=self.joint_speed_scale, expected="at most 1")
        if self.table_margin < 0.0 or not np.isfinite(self.table_z):
            raise ArmError("table", got=(self.table_z, self.table_margin), expected="finite, >= 0")
        low, high = self.box
        if low.shape != (3,) or high.shape != (3,) or not (low < high).all():
            raise ArmError("workspace", got=(low, high), expected="three of min below max")

    @property
    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest corner of the workspace. Shape (3,) each [m]."""
        return np.array(self.workspace_min, dtype=float), np.array(self.workspace_max, dtype=float)


_POSITIVE = (
    "linear_speed",
    "angular_speed",
    "joint_speed_scale",
    "gripper_rate",
    "orientation_jump",
    "ik_position_error",
    "ik_rotation_error",
    "command_timeout",
    "observation_timeout",
    "clock_tolerance",
    "displacement",
)
