"""A simulated arm behind inverse kinematics and safety gate: arm_node's work in one process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_arm.command import JointCommand, Reason
from vla_arm.controller import EndEffectorController
from vla_arm.kinematics import ArmKinematics
from vla_arm.limits import ArmLimits
from vla_sim.constants import CONTROL_DT
from vla_sim.simulation import Simulation


class GatedArm:
    """Takes end-effector poses, one a control tick.

    Args:
        simulation: the world; call :meth:`begin` after each reset of it.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._kinematics = ArmKinematics(simulation.arm)
        self.begin()

    def begin(self) -> None:
        """Start from where the arm is, with a gate that remembers nothing."""
        joints = self._simulation.joint_state()
        self._controller = EndEffectorController(self._simulation.arm, ArmLimits(), CONTROL_DT)
        self._controller.reset(joints.positions, joints.gripper)

    def state(self) -> NDArray[np.float64]:
        """Measured pose, gripper measured and commanded. Shape (8,) [m, rad]."""
        joints = self._simulation.joint_state()
        opening = (joints.gripper, self._controller.commanded_pose()[6])
        return np.concatenate([self._kinematics.forward(joints.positions), opening])

    def commanded(self) -> NDArray[np.float64]:
        """The pose that was last commanded. Shape (7,)."""
        return self._controller.commanded_pose()

    def act(
        self, target: NDArray[np.floating] | None, now: float, input_stamp: float | None = None
    ) -> JointCommand:
        """Command a pose and step the world by one control tick.

        Args:
            target: Shape (7,); None to hold still.
            now: time, also of the command [s].
            input_stamp: of the observation that the target rests on, on the same clock [s].
        """
        self._controller.observe(self._simulation.joint_state().positions)
        if target is None:
            command = self._controller.hold(Reason.POLICY_HOLD)
        else:
            command = self._controller.command(target, now, now, input_stamp)
        self._simulation.step(command.positions, command.gripper)
        return command
