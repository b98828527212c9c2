"""The safety gate: the only one, and the last thing before the backend.

It *limits* (speeds and rates: cut down, counted) and it *refuses* (hold what was last sent, and
say why). Three laws hold for all that it emits, whatever it is given: it is finite, within the
joint and gripper ranges, and within one tick's reach, by joint and tool speed, of what was emitted
before (or, after :meth:`SafetyGate.anchor`, of where the arm was measured).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.collision import CollisionModel
from vla_arm.command import JointCommand, Reason
from vla_arm.errors import ArmError
from vla_arm.joint_table import ArmModel
from vla_arm.kinematics import ArmKinematics, checked_joints
from vla_arm.limits import ArmLimits
from vla_arm.rotation import difference, quaternion_to_rotvec, rotvec_to_quaternion, turned

__all__ = ["Counters", "Reason", "SafetyGate"]

_TOOL_SLACK = 1.02
"""Excess of the tool's speed that is left to the inverse kinematics' tolerance."""
_LONGEST_ROTATION = 4.0 * math.pi
"""Component of a rotation vector from which it is taken for nonsense [rad]."""
_DEPTH_NOISE = 1e-6
"""Penetrations that differ by less are the same [m]."""


@dataclass
class Counters:
    """What the gate did since it was made.

    Attributes:
        accepted: commands passed on.
        limited: of these, how many were cut down.
        refused: commands refused, by reason.
    """

    accepted: int = 0
    limited: int = 0
    refused: dict[Reason, int] = field(default_factory=dict)

    def as_dict(self) -> Mapping[str, int]:
        """Flat names and counts, for diagnostics."""
        refused = {f"refused_{reason.name.lower()}": n for reason, n in self.refused.items()}
        return {
            "accepted": self.accepted,
            "limited": self.limited,
            "refused": sum(self.refused.values()),
            **refused,
        }


class SafetyGate:
    """Stands between the inverse kinematics and the backend.

    Args:
        arm: the arm.
        limits: what it may do.
        dt: time between commands [s].
    """

    def __init__(self, arm: ArmModel, limits: ArmLimits, dt: float) -> None:
        self._arm, self._dt = arm, dt
        self._lower, self._upper = arm.lower, arm.upper
        self.set_limits(limits)
        self._kinematics = ArmKinematics(arm)
        self._positions: NDArray[np.float64] = np.clip(np.zeros(6), self._lower, self._upper)
        self._pose = self._kinematics.forward(self._positions)
        self._gripper = 0.0
        self._stopped = False
        self.counters = Counters()

    def set_limits(self, limits: ArmLimits) -> None:
        """Judge by other limits from now on; nothing that is latched changes."""
        self._limits = limits
        self._joint_step = self._arm.velocity * limits.joint_speed_scale * self._dt
        self._low, self._high = limits.box
        self._collision = CollisionModel(self._arm, limits.table_z, limits.table_margin)

    @property
    def positions(self) -> NDArray[np.float64]:
        """Joint targets emitted last. Shape (6,) [rad]."""
        return self._positions.copy()

    @property
    def pose(self) -> NDArray[np.float64]:
        """Pose [m, rad] and opening [m] emitted last. Shape (7,)."""
        return np.append(self._pose, self._gripper)

    @property
    def stopped(self) -> bool:
        """Whether the emergency stop is latched."""
        return self._stopped

    def stop(self) -> None:
        """Latch the emergency stop: nothing moves until :meth:`reset_stop`."""
        self._stopped = True

    def reset_stop(self) -> None:
        """Release the emergency stop. Nothing else does."""
        self._stopped = False

    def anchor(self, q: ArrayLike, gripper: float) -> None:
        """Take where the arm is as what was emitted last. The emergency stop stays as it is.

        Args:
            q: measured joint angles. Shape (6,) [rad]; out of range ones are taken at the range's
                end.
            gripper: measured opening [m].

        Raises:
            ArmError: a number is not finite or the shape is another.
        """
        positions = checked_joints(q)
        if not np.isfinite(positions).all() or not math.isfinite(gripper):
            raise ArmError("measured joints", got=(positions, gripper), expected="finite numbers")
        self._positions = np.clip(positions, self._lower, self._upper)
        self._pose = self._kinematics.forward(self._positions)
        self._gripper = float(np.clip(gripper, 0.0, self._arm.gripper_max))

    def inspect(
        self,
        target: NDArray[np.float64],
        stamp: float,
        now: float,
        input_stamp: float | None,
    ) -> Reason:
        """Judge a target before the inverse kinematics.

        Args:
            target: position [m], rotation vector [rad], opening [m]. Shape (7,).
            stamp: of the command [s].
            now: [s].
            input_stamp: of the observation that the command rests on [s]; None where none is known.

        Returns:
            OK, or why it must be refused.
        """
        limits = self._limits
        if self._stopped:
            return Reason.ESTOP
        numbers = (stamp, now) if input_stamp is None else (stamp, now, input_stamp)
        if target.shape != (7,) or not np.isfinite(target).all():
            return Reason.NOT_FINITE
        if not all(math.isfinite(number) for number in numbers):
            return Reason.NOT_FINITE
        if not -limits.clock_tolerance <= now - stamp <= limits.command_timeout:
            return Reason.STALE_COMMAND
        if input_stamp is not None:
            age = now - input_stamp
            if not -limits.clock_tolerance <= age <= limits.observation_timeout:
                return Reason.STALE_OBSERVATION
        if (target[:3] < self._low).any() or (target[:3] > self._high).any():
            return Reason.OUT_OF_WORKSPACE
        absurd = np.abs(target[3:6]).max() > _LONGEST_ROTATION
        if absurd or _norm(_turn(target, self._pose)) > limits.orientation_jump:
            return Reason.ORIENTATION_JUMP
        return Reason.OK

    def limit(self, target: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
        """Cut a pose down to what one tick allows, on the straight way to it.

        Args:
            target: position [m] and rotation vector [rad] of an inspected target. Shape (6,).

        Returns:
            The pose for this tick, Shape (6,), and whether it was cut down. Position and rotation
            are cut by the same share, so that they arrive together.
        """
        last, need = self._pose, self._tool_share(target)
        if need <= 1.0 + 1e-9:
            return target, False
        start = rotvec_to_quaternion(last[3:6])
        rotvec = quaternion_to_rotvec(turned(start, _turn(target, last) / need))
        return np.concatenate((last[:3] + (target[:3] - last[:3]) / need, rotvec)), True

    def emit(self, q: NDArray[np.float64], gripper: float, limited: bool = False) -> JointCommand:
        """The last step: saturate ranges and speeds, refuse collisions, count, remember.

        Args:
            q: wanted joint angles. Shape (6,) [rad].
            gripper: wanted opening [m].
            limited: whether the command was already cut down.
        """
        if self._stopped:
            return self.refuse(Reason.ESTOP)
        if q.shape != (6,) or not np.isfinite(q).all() or not math.isfinite(gripper):
            return self.refuse(Reason.NOT_FINITE)
        wanted = np.clip(q, self._lower, self._upper)
        opening, cut = self._limit_gripper(gripper)
        limited = limited or cut or bool((wanted != q).any())
        # One share for all joints: the arm keeps its way and only takes longer.
        step = wanted - self._positions
        need = float(np.max(np.abs(step) / self._joint_step))
        if need > 1.0:
            step, limited = step / need, True
            wanted = self._positions + step
        pose = self._kinematics.forward(wanted)
        while (tool := self._tool_share(pose)) > _TOOL_SLACK:
            step, limited = step / tool, True
            wanted = self._positions + step
            pose = self._kinematics.forward(wanted)
        reason = self._touches(wanted, opening)
        if reason is not Reason.OK:
            return self.refuse(reason)
        self._pose = pose
        self._positions, self._gripper = wanted, opening
        self.counters.accepted += 1
        self.counters.limited += limited
        return JointCommand(wanted.copy(), opening, True, Reason.OK, limited)

    def refuse(self, reason: Reason) -> JointCommand:
        """Hold what was emitted last, count why."""
        refused = self.counters.refused
        refused[reason] = refused.get(reason, 0) + 1
        return JointCommand(self._positions.copy(), self._gripper, False, reason, False)

    def _tool_share(self, pose: NDArray[np.float64]) -> float:
        """How many ticks it takes to a pose, at the tool's speed limits."""
        limits, last = self._limits, self._pose
        linear = _norm(pose[:3] - last[:3]) / limits.linear_speed
        return max(linear, _norm(_turn(pose, last)) / limits.angular_speed) / self._dt

    def _touches(self, q: NDArray[np.float64], gripper: float) -> Reason:
        """Whether these joint angles bring a contact, or a deeper one than there is already."""
        table, itself = self._collision.depths(q, gripper)
        if table <= 0.0 and itself <= 0.0:
            return Reason.OK
        # An arm that was pushed into contact must be able to leave it.
        was_table, was_itself = self._collision.depths(self._positions, self._gripper)
        if table > was_table + _DEPTH_NOISE:
            return Reason.OUT_OF_WORKSPACE
        if itself > was_itself + _DEPTH_NOISE and self._limits.self_collision:
            return Reason.SELF_COLLISION
        return Reason.OK

    def _limit_gripper(self, gripper: float) -> tuple[float, bool]:
        reach = self._limits.gripper_rate * self._dt
        inside = min(max(gripper, 0.0), self._arm.gripper_max)
        opening = min(max(inside, self._gripper - reach), self._gripper + reach)
        return opening, abs(opening - gripper) > 1e-9


def _turn(target: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation vector [rad], in the tool's frame, from the last orientation to the target's."""
    return difference(rotvec_to_quaternion(target[3:6]), rotvec_to_quaternion(last[3:6]))


def _norm(vector: NDArray[np.float64]) -> float:
    return math.sqrt(float(vector @ vector))
