"""From end-effector targets to joint targets: inverse kinematics between the gate's two ends.

The same controller serves the arm node, the Gymnasium environments, collection and evaluation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.command import JointCommand, Reason
from vla_arm.errors import ArmError
from vla_arm.gate import Counters, SafetyGate
from vla_arm.joint_table import ArmModel
from vla_arm.kinematics import ArmKinematics, InverseKinematics, checked_joints
from vla_arm.limits import ArmLimits

__all__ = ["EndEffectorController", "JointCommand", "Reason"]


class EndEffectorController:
    """Turns one pose command a tick into one joint target, or holds.

    Deterministic: the same calls give the same bytes. After a refusal the arm holds what was last
    sent; should it be moved away meanwhile, :meth:`observe` makes it go on from where it is.

    Args:
        arm: the arm.
        limits: what it may do.
        dt: time between commands [s].

    Raises:
        ArmError: ``dt`` is not positive.
    """

    def __init__(self, arm: ArmModel, limits: ArmLimits, dt: float = 0.02) -> None:
        if not 0.0 < dt < np.inf:
            raise ArmError("dt", got=dt, expected="a positive number of seconds")
        self.arm, self.limits, self.dt = arm, limits, dt
        self._gate = SafetyGate(arm, limits, dt)
        self._ik = InverseKinematics(arm)
        self._kinematics = ArmKinematics(arm)
        self._holding = True

    @property
    def counters(self) -> Counters:
        """What the gate accepted, limited and refused."""
        return self._gate.counters

    @property
    def stopped(self) -> bool:
        """Whether the emergency stop is latched."""
        return self._gate.stopped

    def set_limits(self, limits: ArmLimits) -> None:
        """Judge by other limits from now on."""
        self.limits = limits
        self._gate.set_limits(limits)

    def reset(self, q: ArrayLike, gripper_opening: float) -> None:
        """Start from where the arm is. Counters and a latched emergency stop stay.

        Args:
            q: measured joint angles. Shape (6,) [rad].
            gripper_opening: measured, or commanded where it is known and the gripper holds [m].

        Raises:
            ArmError: a number is not finite or the shape is another.
        """
        self._gate.anchor(q, gripper_opening)
        self._holding = True

    def observe(self, q: ArrayLike) -> bool:
        """Look whether the arm was moved away while it held, and if so hold it where it is now.

        To be called with each measurement before the command. The target then jumps onto the arm,
        which moves nothing, and the next command starts from there within the speed limits; kept
        where it was, it would pull the arm back at any speed.

        Args:
            q: measured joint angles. Shape (6,) [rad]; ignored when not finite.

        Returns:
            Whether the arm was found elsewhere.
        """
        measured = checked_joints(q)
        if not self._holding or not np.isfinite(measured).all():
            return False
        if float(np.max(np.abs(measured - self._gate.positions))) <= self.limits.displacement:
            return False
        self._gate.anchor(measured, float(self._gate.pose[6]))
        return True

    def command(
        self, target: ArrayLike, stamp: float, now: float, input_stamp: float | None = None
    ) -> JointCommand:
        """Move towards a target for one tick.

        Args:
            target: position [m] and rotation vector [rad] of ``eef_link`` in ``base_link``, gripper
                opening [m]. Shape (7,).
            stamp: of the command [s].
            now: the same clock's time [s].
            input_stamp: of the observation behind the command [s]; None where none is known.

        Returns:
            What to send now: the step towards the target, or the last targets again.
        """
        goal = np.asarray(target, dtype=np.float64)
        reason = self._gate.inspect(goal, stamp, now, input_stamp)
        if reason is not Reason.OK:
            return self.hold(reason)
        step, limited = self._gate.limit(goal[:6])
        solution = self._ik.solve(step, self._gate.positions)
        if (
            solution.position_error > self.limits.ik_position_error
            or solution.rotation_error > self.limits.ik_rotation_error
        ):
            return self.hold(Reason.UNREACHABLE)
        command = self._gate.emit(solution.q, float(goal[6]), limited)
        self._holding = not command.accepted
        return command

    def joint_command(self, q: ArrayLike, gripper: float) -> JointCommand:
        """Move towards joint angles for one tick, through the same gate (homing).

        Args:
            q: joint angles. Shape (6,) [rad].
            gripper: opening [m].
        """
        command = self._gate.emit(np.asarray(q, dtype=np.float64), gripper)
        self._holding = not command.accepted
        return command

    def leaves_workspace(self, way: NDArray[np.float64]) -> bool:
        """Whether the tool point gets further out of the box than it is at the way's begin.

        Args:
            way: joint angles. Shape (N, 6) [rad].
        """
        low, high = self.limits.box
        points = np.array([self._kinematics.forward(q)[:3] for q in way])
        out = np.maximum(low - points, points - high).max(1)
        return bool(out.max() > max(out[0], 0.0) + 1e-6)

    def hold(self, reason: Reason) -> JointCommand:
        """Send the last targets again, and count why."""
        self._holding = True
        return self._gate.refuse(Reason.ESTOP if self._gate.stopped else reason)

    def stop(self) -> None:
        """Latch the emergency stop."""
        self._gate.stop()

    def reset_stop(self) -> None:
        """Release the emergency stop; the arm goes on holding until the next command."""
        self._gate.reset_stop()

    @property
    def positions(self) -> NDArray[np.float64]:
        """Joint targets that were last sent. Shape (6,) [rad]."""
        return self._gate.positions

    def commanded_pose(self) -> NDArray[np.float64]:
        """Pose [m, rad] and opening [m] that were last sent. Shape (7,)."""
        return self._gate.pose
