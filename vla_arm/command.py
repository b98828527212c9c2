"""What goes to the arm, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class Reason(enum.IntEnum):
    """Why the arm holds; the numbers are those of ``vla_msgs/ArmStatus``."""

    OK = 0
    NOT_FINITE = 1
    OUT_OF_WORKSPACE = 2
    UNREACHABLE = 3
    ORIENTATION_JUMP = 4
    STALE_COMMAND = 5
    STALE_OBSERVATION = 6
    SELF_COLLISION = 7
    ESTOP = 8
    WATCHDOG = 9
    NO_JOINT_STATES = 10
    POLICY_HOLD = 11
    BACKEND_LOST = 12
    OTHER = 255

    @property
    def text(self) -> str:
        """For people to read."""
        return _TEXTS[self]


_TEXTS = {
    Reason.OK: "ok",
    Reason.NOT_FINITE: "the command holds a number that is not finite, or has the wrong size",
    Reason.OUT_OF_WORKSPACE: "the target is outside the workspace or in the table",
    Reason.UNREACHABLE: "the arm cannot reach the target",
    Reason.ORIENTATION_JUMP: "the target's orientation is too far from the last one",
    Reason.STALE_COMMAND: "no fresh command",
    Reason.STALE_OBSERVATION: "the command rests on an old observation",
    Reason.SELF_COLLISION: "the arm would touch itself",
    Reason.ESTOP: "emergency stop, until it is reset",
    Reason.WATCHDOG: "commands stopped coming",
    Reason.NO_JOINT_STATES: "joint states are missing, old, or lack a joint",
    Reason.POLICY_HOLD: "the policy asked to hold",
    Reason.BACKEND_LOST: "the arm does not answer",
    Reason.OTHER: "see the text",
}


@dataclass(frozen=True)
class JointCommand:
    """One tick of joint targets, fit to be sent.

    Attributes:
        positions: Shape (6,), float64 [rad].
        gripper: distance between the finger pads [m].
        accepted: False when the arm holds instead of doing what was asked.
        reason: why it holds; OK when accepted.
        limited: whether speed, rate or joint range were cut down.
    """

    positions: NDArray[np.float64]
    gripper: float
    accepted: bool
    reason: Reason
    limited: bool
