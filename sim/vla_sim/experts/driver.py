"""Plays 10 Hz targets to the arm at the control rate, through the same controller as the robot."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

from vla_arm.controller import EndEffectorController
from vla_arm.limits import ArmLimits
from vla_sim.constants import CONTROL_DT, STEP_DT
from vla_sim.simulation import Simulation

TICKS = round(STEP_DT / CONTROL_DT)
"""Control ticks in a step."""


class StepDriver:
    """Moves the arm of a simulation from target to target.

    Args:
        simulation: the world; call :meth:`reset` after each reset of it.
        limits: of the arm.
    """

    def __init__(self, simulation: Simulation, limits: ArmLimits | None = None) -> None:
        self._simulation = simulation
        self._controller = EndEffectorController(simulation.arm, limits or ArmLimits(), CONTROL_DT)
        self._last: NDArray[np.float64] = np.zeros(7)

    def reset(self) -> None:
        """Start from where the arm is."""
        truth = self._simulation.privileged()
        positions, gripper = self._simulation.joint_target()
        self._controller.reset(positions, gripper)
        self._last = np.concatenate([truth.commanded_pose(), [gripper]])

    def commanded_opening(self) -> float:
        """Gripper opening last commanded [m]."""
        return float(self._controller.commanded_pose()[6])

    def step(self, target: ArrayLike) -> bool:
        """Advance by one step (0.1 s), straight to ``target``.

        Args:
            target: position [m], rotation vector [rad], opening [m]. Shape (7,).

        Returns:
            Whether the controller accepted all commands.
        """
        goal = np.asarray(target, dtype=np.float64)
        turn = Slerp([0.0, 1.0], Rotation.from_rotvec([self._last[3:6], goal[3:6]]))
        accepted = True
        for tick in range(1, TICKS + 1):
            share = tick / TICKS
            between = self._last + share * (goal - self._last)
            between[3:6] = turn(share).as_rotvec()
            now = self._simulation.time
            command = self._controller.command(between, now, now)
            accepted &= command.accepted
            self._simulation.step(command.positions, command.gripper)
        self._last = goal.copy()
        return accepted
