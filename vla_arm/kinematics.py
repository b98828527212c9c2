"""Forward and inverse kinematics of the tool point, on the arm's own MuJoCo model."""

from __future__ import annotations

from dataclasses import dataclass

import mink
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.errors import ArmError
from vla_arm.joint_table import ArmModel
from vla_arm.mjcf import arm_spec
from vla_arm.rotation import (
    difference,
    matrix_to_quaternion,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
)

JOINTS = 6


class ArmKinematics:
    """Where ``eef_link`` is, for given joint angles.

    Args:
        arm: the arm.
    """

    def __init__(self, arm: ArmModel) -> None:
        self.arm = arm
        self.model: mujoco.MjModel = _bare_model(arm)
        self._data = mujoco.MjData(self.model)
        self._site = self.model.site("eef_link").id

    def forward(self, q: ArrayLike) -> NDArray[np.float64]:
        """Pose of ``eef_link`` in ``base_link``.

        Args:
            q: joint angles. Shape (6,) [rad].

        Returns:
            Position [m] and rotation vector [rad], at most pi long. Shape (6,).

        Raises:
            ArmError: ``q`` has another shape.
        """
        self._place(q)
        quaternion = matrix_to_quaternion(self._data.site_xmat[self._site])
        return np.concatenate((self._data.site_xpos[self._site], quaternion_to_rotvec(quaternion)))

    def jacobian(self, q: ArrayLike) -> NDArray[np.float64]:
        """Velocity of the tool point per joint speed, in ``base_link``.

        Args:
            q: joint angles. Shape (6,) [rad].

        Returns:
            Linear rows [m/rad] over angular rows [rad/rad]. Shape (6, 6).

        Raises:
            ArmError: ``q`` has another shape.
        """
        self._place(q)
        mujoco.mj_comPos(self.model, self._data)
        full = np.zeros((6, JOINTS))
        mujoco.mj_jacSite(self.model, self._data, full[:3], full[3:], self._site)
        return full

    def _place(self, q: ArrayLike) -> None:
        self._data.qpos[:] = checked_joints(q)
        mujoco.mj_kinematics(self.model, self._data)


@dataclass(frozen=True)
class IkSolution:
    """Joint angles that bring the tool point to a pose, or as near as can be.

    Attributes:
        q: within the joint ranges. Shape (6,) [rad].
        position_error: what is left [m].
        rotation_error: what is left [rad].
        converged: both are within tolerance.
    """

    q: NDArray[np.float64]
    position_error: float
    rotation_error: float
    converged: bool


class InverseKinematics:
    """Joint angles for a pose: mink's quadratic program, iterated from a seed.

    Joint ranges are constraints. Deterministic: the same pose and seed give the same bytes.

    Args:
        arm: the arm.
        iterations: most steps of a search; a target near the seed takes one or two.
        position_tolerance: of a solution [m].
        rotation_tolerance: of a solution [rad].
    """

    def __init__(
        self,
        arm: ArmModel,
        iterations: int = 20,
        position_tolerance: float = 1e-4,
        rotation_tolerance: float = 1e-3,
    ) -> None:
        self.iterations = iterations
        self.position_tolerance, self.rotation_tolerance = position_tolerance, rotation_tolerance
        model = _bare_model(arm)
        self._configuration = mink.Configuration(model)
        self._site = model.site("eef_link").id
        # Metres count ten times radians: out of reach, the tool tilts rather than stays away.
        self._task = mink.FrameTask(
            "eef_link", "site", position_cost=1.0, orientation_cost=0.1, lm_damping=1e-3
        )
        self._limits: list[mink.Limit] = [mink.ConfigurationLimit(model, gain=1.0)]
        self._lower, self._upper = arm.lower, arm.upper

    def solve(self, pose: ArrayLike, q_seed: ArrayLike) -> IkSolution:
        """Bring the tool point to ``pose``.

        Args:
            pose: position [m] and rotation vector [rad] in ``base_link``. Shape (6,).
            q_seed: where the search starts; what was last commanded. Shape (6,) [rad].

        Raises:
            ArmError: a shape is wrong, or a number of the pose is not finite.
        """
        target = np.asarray(pose, dtype=np.float64)
        if target.shape != (6,) or not np.isfinite(target).all():
            raise ArmError("pose", got=target, expected="6 finite numbers")
        quaternion = rotvec_to_quaternion(target[3:])
        self._task.set_target(mink.SE3(np.concatenate((quaternion, target[:3]))))
        q = np.clip(checked_joints(q_seed), self._lower, self._upper)
        for _ in range(self.iterations):
            position, rotation = self._errors(q, target[:3], quaternion)
            if position <= self.position_tolerance and rotation <= self.rotation_tolerance:
                return IkSolution(q, position, rotation, True)
            step = mink.solve_ik(
                self._configuration, [self._task], 1.0, "daqp", 1e-8, limits=self._limits
            )
            q = np.clip(q + step, self._lower, self._upper)
        position, rotation = self._errors(q, target[:3], quaternion)
        done = position <= self.position_tolerance and rotation <= self.rotation_tolerance
        return IkSolution(q, position, rotation, done)

    def _errors(
        self, q: NDArray[np.float64], position: NDArray[np.float64], quaternion: NDArray[np.float64]
    ) -> tuple[float, float]:
        """Move the configuration to ``q``; what is left there to the target [m], [rad]."""
        self._configuration.update(q)
        data = self._configuration.data
        offset = position - data.site_xpos[self._site]
        turn = difference(quaternion, matrix_to_quaternion(data.site_xmat[self._site]))
        return float(np.sqrt(offset @ offset)), float(np.sqrt(turn @ turn))


def checked_joints(q: ArrayLike) -> NDArray[np.float64]:
    """Return joint angles as an array. Shape (6,) [rad].

    Raises:
        ArmError: another shape.
    """
    array = np.asarray(q, dtype=np.float64)
    if array.shape != (JOINTS,):
        raise ArmError("joint angles", got=f"shape {array.shape}", expected="(6,)")
    return array


def _bare_model(arm: ArmModel) -> mujoco.MjModel:
    """The arm without the fingers' joints: six unknowns, no contacts."""
    spec = arm_spec(arm)
    for name in ("finger_left", "finger_right"):
        spec.delete(spec.joint(name))
    for item in (*spec.equalities, *spec.tendons, *spec.actuators):
        spec.delete(item)
    return spec.compile()
