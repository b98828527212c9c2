"""Forward and inverse kinematics on the arm's own MJCF."""

from __future__ import annotations

from dataclasses import dataclass

import mink
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import ArmModel
from vla_arm.mjcf import arm_spec

ARM_JOINTS = 6


class ArmKinematics:
    """Where ``eef_link`` is, for given joint positions."""

    def __init__(self, arm: ArmModel) -> None:
        self.arm = arm
        self.model: mujoco.MjModel = arm_spec(arm).compile()
        self._data = mujoco.MjData(self.model)
        self._site = self.model.site("eef_link").id

    def forward(self, q: ArrayLike) -> NDArray[np.float64]:
        """Pose of ``eef_link`` in ``base_link``.

        Args:
            q: joint positions [rad]. Shape (6,).

        Returns:
            Position [m] and rotation vector [rad]. Shape (6,).
        """
        self._place(q)
        turn = Rotation.from_matrix(self._data.site_xmat[self._site].reshape(3, 3))
        return np.concatenate([self._data.site_xpos[self._site], turn.as_rotvec()])

    def jacobian(self, q: ArrayLike) -> NDArray[np.float64]:
        """Linear [m/rad] over angular [rad/rad] velocity of ``eef_link``. Shape (6, 6)."""
        self._place(q)
        mujoco.mj_comPos(self.model, self._data)
        full = np.zeros((6, self.model.nv))
        mujoco.mj_jacSite(self.model, self._data, full[:3], full[3:], self._site)
        return full[:, :ARM_JOINTS]

    def _place(self, q: ArrayLike) -> None:
        self._data.qpos[:ARM_JOINTS] = q
        mujoco.mj_kinematics(self.model, self._data)


@dataclass(frozen=True)
class IkSolution:
    """Where an inverse-kinematics search ended.

    Attributes:
        q: joint positions [rad]. Shape (6,).
        position_error: distance of ``eef_link`` from the target [m].
        rotation_error: angle to the target orientation [rad].
        converged: both errors are within tolerance.
    """

    q: NDArray[np.float64]
    position_error: float
    rotation_error: float
    converged: bool


class InverseKinematics:
    """Differential inverse kinematics by mink (daqp), iterated from a seed.

    Joint limits are constraints; the fingers are locked.

    Args:
        arm: which arm.
        iterations: most steps of a search; a target near the seed takes one or two.
        position_tolerance: [m].
        rotation_tolerance: [rad].
    """

    def __init__(
        self,
        arm: ArmModel,
        iterations: int = 20,
        position_tolerance: float = 5e-4,
        rotation_tolerance: float = 5e-3,
    ) -> None:
        self.iterations = iterations
        self.position_tolerance = position_tolerance
        self.rotation_tolerance = rotation_tolerance
        spec = arm_spec(arm)
        # Without fingers the search has six unknowns, not eight.
        for name in ("finger_left", "finger_right"):
            spec.delete(spec.joint(name))
        for item in (*spec.equalities, *spec.tendons, *spec.actuators):
            spec.delete(item)
        self._configuration = mink.Configuration(spec.compile())
        self._task = mink.FrameTask(
            frame_name="eef_link",
            frame_type="site",
            position_cost=1.0,
            orientation_cost=0.1,
            lm_damping=1e-6,
        )
        self._limits = [mink.ConfigurationLimit(self._configuration.model)]
        self._lower, self._upper = arm.lower, arm.upper

    def solve(self, pose: ArrayLike, q_seed: ArrayLike) -> IkSolution:
        """Find joint positions for a pose.

        Args:
            pose: position [m] and rotation vector [rad] of ``eef_link``. Shape (6,).
            q_seed: where to start [rad]; the solution of the last tick. Shape (6,).
        """
        target = np.asarray(pose, dtype=np.float64)
        turn = Rotation.from_rotvec(target[3:])
        self._task.set_target(
            mink.SE3.from_rotation_and_translation(
                mink.SO3(turn.as_quat(scalar_first=True)), target[:3]
            )
        )
        q = np.clip(q_seed, self._lower, self._upper)
        self._configuration.update(q)
        for iteration in range(self.iterations + 1):
            error = self._task.compute_error(self._configuration)
            position = float(np.linalg.norm(error[:3]))
            rotation = float(np.linalg.norm(error[3:]))
            # Well inside the tolerance, so that a following tick starts from a clean solution.
            good = position < 0.1 * self.position_tolerance
            if (good and rotation < 0.1 * self.rotation_tolerance) or iteration == self.iterations:
                break
            velocity = mink.solve_ik(
                self._configuration, [self._task], 1.0, "daqp", damping=1e-8, limits=self._limits
            )
            q = np.clip(self._configuration.integrate(velocity, 1.0), self._lower, self._upper)
            self._configuration.update(q)
        return IkSolution(
            q=q.copy(),
            position_error=position,
            rotation_error=rotation,
            converged=position < self.position_tolerance and rotation < self.rotation_tolerance,
        )
