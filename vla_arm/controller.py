"""From end-effector targets to joint targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.joint_table import ArmModel
from vla_arm.kinematics import ArmKinematics, InverseKinematics
from vla_arm.limits import ArmLimits


@dataclass(frozen=True)
class JointCommand:
    positions: NDArray[np.float64]
    gripper: float
    accepted: bool = True
    reason: object = None
    limited: bool = False


class EndEffectorController:
    def __init__(self, arm: ArmModel, limits: ArmLimits, dt: float = 0.02) -> None:
        self.arm, self.limits, self.dt = arm, limits, dt
        self._ik = InverseKinematics(arm)
        self._fk = ArmKinematics(arm)
        self._q = np.zeros(6)
        self._gripper = 0.0

    def reset(self, q: ArrayLike, gripper_opening: float) -> None:
        self._q = np.array(q, dtype=np.float64)
        self._gripper = float(gripper_opening)

    def command(
        self, target: ArrayLike, stamp: float, now: float, input_stamp: float | None = None
    ) -> JointCommand:
        goal = np.asarray(target, dtype=np.float64)
        solution = self._ik.solve(goal[:6], self._q)
        if not solution.converged:
            return JointCommand(self._q.copy(), self._gripper, False, "unreachable")
        reach = self.arm.velocity * self.dt * self.limits.joint_speed_scale
        self._q = self._q + np.clip(solution.q - self._q, -reach, reach)
        step = self.limits.gripper_rate * self.dt
        self._gripper += float(np.clip(goal[6] - self._gripper, -step, step))
        return JointCommand(self._q.copy(), self._gripper)

    def commanded_pose(self) -> NDArray[np.float64]:
        return np.concatenate([self._fk.forward(self._q), [self._gripper]])
