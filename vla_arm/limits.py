"""What the arm may do at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArmLimits:
    """Limits of commands.

    Attributes:
        joint_speed_scale: share of the joint table's speeds.
        gripper_rate: opening or closing [m/s].
    """

    joint_speed_scale: float = 1.0
    gripper_rate: float = 0.25
