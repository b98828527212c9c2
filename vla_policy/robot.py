"""Whose arm a policy moves: its actions mean nothing to another."""

from __future__ import annotations

from typing import Final

from vla_policy.errors import PolicyError

ARM: Final = "arx5"
"""What datasets of our arm, real or simulated, name as their robot."""


def see_robot(policy: object, robot: str) -> None:
    """Refuse a policy that was trained on another robot; one that does not say so is taken.

    Args:
        policy: ours keep the robot of their data in ``statistics``.
        robot: as datasets name it.

    Raises:
        PolicyError: it is another one's.
    """
    own = getattr(getattr(policy, "statistics", None), "robot", "")
    if own and own != robot:
        raise PolicyError("robot of the policy", got=own, expected=robot)
