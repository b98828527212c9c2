"""What carries joint targets to an arm and joint states back; one file a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla_arm.backend import ArmBackend
from vla_policy_node.backends.arx5 import Arx5
from vla_policy_node.backends.joint_topics import JointTopics
from vla_policy_node.backends.joint_trajectory import JointTrajectoryBackend
from vla_policy_node.backends.servo import ServoPose, ServoTwist
from vla_policy_node.errors import NodeError

BACKENDS: dict[str, Callable[..., ArmBackend]] = {
    "joint_topics": JointTopics,
    "joint_trajectory": JointTrajectoryBackend,
    "servo_pose": ServoPose,
    "servo_twist": ServoTwist,
    "arx5": Arx5,
}

__all__ = ["BACKENDS", "ArmBackend", "make_backend"]


def make_backend(name: str, *arguments: Any) -> ArmBackend:
    """Make a backend by name.

    Raises:
        NodeError: the name is unknown; the message lists the known ones.
    """
    if name not in BACKENDS:
        raise NodeError("backend", got=repr(name), expected=f"one of {sorted(BACKENDS)}")
    return BACKENDS[name](*arguments)
