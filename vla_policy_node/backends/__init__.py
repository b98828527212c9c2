"""What carries joint targets to an arm and joint states back; one file a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vla_arm.backend import ArmBackend, ArmState
from vla_arm.joint_table import ArmModel
from vla_policy_node.backends.arx5 import Arx5
from vla_policy_node.backends.joint_topics import JointTopics
from vla_policy_node.backends.joint_trajectory import JointTrajectoryBackend
from vla_policy_node.backends.servo import ServoPose, ServoTwist
from vla_policy_node.errors import NodeError

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

BACKENDS: dict[str, Callable[..., ArmBackend]] = {
    "joint_topics": JointTopics,
    "joint_trajectory": JointTrajectoryBackend,
    "servo_pose": ServoPose,
    "servo_twist": ServoTwist,
    "arx5": Arx5,
}

ARX5, SIMULATOR = "arx5", "joint_topics"
_ONLY_ARX5 = ("dry_run", "teach")
"""Hardware modes that the others do not have: what they send is obeyed."""
_MUST_BE_GIVEN = {
    "arm": "the model, X5 or L5, as its label says",
    "hardware_mode": "slow or full; dry_run and teach, too, with arx5",
}
"""To a node that may drive a real arm; the wrong one would be dangerous."""

__all__ = ["BACKENDS", "ArmBackend", "make_backend"]


def make_backend(
    name: str,
    node: SettingsNode,
    arm: ArmModel,
    on_measurement: Callable[[ArmState], None],
    on_fault: Callable[[str], None],
) -> ArmBackend:
    """Make a backend by name.

    Args:
        name: a key of :data:`BACKENDS`.
        node: the node that speaks; its settings say how.
        arm: the arm's numbers.
        on_measurement: takes each state.
        on_fault: takes the reason why a measurement could not be used.

    Raises:
        NodeError: the name is unknown; the message lists the known ones. Or, where it may drive a
            real arm: model or mode was not named; the backend lacks the mode, as an arm must not
            move where its user asked that nothing be sent; or time is to wait for commands, as only
            a simulator's can, with which the watchdogs are off.
    """
    if name not in BACKENDS:
        raise NodeError("backend", got=repr(name), expected=f"one of {sorted(BACKENDS)}")
    mode = node.settings.hardware_mode
    if name != SIMULATOR:
        given = getattr(node, "_parameter_overrides", {})
        for parameter, expected in _MUST_BE_GIVEN.items():
            if parameter not in given:
                raise NodeError(f"parameter {parameter!r}", got="nothing", expected=expected)
        if node.settings.lockstep:
            raise NodeError("parameter 'lockstep'", got=True, expected="false with a real arm")
    if name != ARX5 and mode in _ONLY_ARX5:
        raise NodeError(
            f"parameter 'hardware_mode' with backend {name!r}",
            got=repr(mode),
            expected="slow or full",
        )
    return BACKENDS[name](node, arm, on_measurement, on_fault)
