"""Parameters of arm_node -> limits, and the rule that they only become tighter while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_arm.errors import ArmError
from vla_arm.limits import ArmLimits
from vla_policy_node.settings import ArmSettings

_LARGER_IS_LOOSER = (
    "workspace_max_x",
    "workspace_max_y",
    "workspace_max_z",
    "linear_speed",
    "angular_speed",
    "joint_speed_scale",
    "torque_scale",
    "gripper_rate",
    "orientation_jump",
    "observation_timeout",
    # Not live, but a node that was cleaned up takes them anew.
    "command_timeout",
    "joint_states_timeout",
    "home_speed",
    "slow_scale",
    "lockstep",
)
_FIXED = ("arm", "backend", "can_interface", "controller", "hardware_mode")
"""What is driven, and how; a clean-up is no new start."""
_SMALLER_IS_LOOSER = (
    "workspace_min_x",
    "workspace_min_y",
    "workspace_min_z",
    "table_z",
    "self_collision",
)


def speed_share(settings: ArmSettings) -> float:
    """Share of all speeds that the hardware mode allows."""
    return settings.slow_scale if settings.hardware_mode == "slow" else 1.0


def limits_of(settings: ArmSettings) -> ArmLimits:
    """Return the limits of the settings.

    Raises:
        ArmError: the workspace is empty.
    """
    share = speed_share(settings)
    low = settings.workspace_min_x, settings.workspace_min_y, settings.workspace_min_z
    high = settings.workspace_max_x, settings.workspace_max_y, settings.workspace_max_z
    return ArmLimits(
        workspace_min=low,
        workspace_max=high,
        table_z=settings.table_z,
        linear_speed=settings.linear_speed * share,
        angular_speed=settings.angular_speed * share,
        joint_speed_scale=settings.joint_speed_scale * share,
        gripper_rate=settings.gripper_rate * share,
        orientation_jump=settings.orientation_jump,
        self_collision=settings.self_collision,
        command_timeout=settings.command_timeout,
        observation_timeout=settings.observation_timeout,
    )


def refusal(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say why new values must not be set; empty if they may.

    Args:
        now: all settings as they are.
        wanted: those that shall change.
    """
    for name, value in wanted.items():
        if name in _FIXED and value != now[name]:
            return f"{name}: got {value}, expected {now[name]}: chosen when the node is started"
        if name in _LARGER_IS_LOOSER and value > now[name]:
            return _loosens(name, value, f"at most {now[name]}")
        if name in _SMALLER_IS_LOOSER and value < now[name]:
            return _loosens(name, value, f"at least {now[name]}")
    try:
        limits_of(ArmSettings(**{**now, **wanted}))
    except (ArmError, TypeError) as error:
        return str(error)
    return ""


def _loosens(name: str, value: object, bound: str) -> str:
    return (
        f"{name}: got {value}, expected {bound}: a limit can only be tightened at run time; "
        "to loosen it, change the parameter file and start again"
    )
