"""The vendor's library, with its traps closed: states kept while they are read, arrays copied."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_arm.errors import ArmError

SETTLING = 0.01
"""The library takes so long to see a new target before stiffness may come [s]."""
TEACH_DAMPING = 0.25
"""Share of the damping while the arm is guided by hand."""


@dataclass(frozen=True)
class Reading:
    """One state.

    Attributes:
        joints: position [rad], velocity [rad/s], torque [Nm] by joint. Shape (3, 6).
        gripper: opening [m].
        gripper_velocity: [m/s].
        gripper_torque: [Nm].
        gripper_sent: opening that the library sent last [m]; not what it was told where its own
            limits of speed and torque stand between.
        cycle: the library's time at its last cycle [s]; equal in two readings of one cycle.
        age: of that cycle [s]; says nothing about the motors.
    """

    joints: NDArray[np.float64]
    gripper: float
    gripper_velocity: float
    gripper_torque: float
    gripper_sent: float
    cycle: float
    age: float

    @property
    def motors(self) -> NDArray[np.float64]:
        """Position, velocity, torque of the joints and the gripper. Shape (3, 7)."""
        gripper = self.gripper, self.gripper_velocity, self.gripper_torque
        return np.column_stack((self.joints, gripper))


class Library:
    """An ``Arx5JointController`` in joint space with gravity compensation.

    Args:
        model: name of the arm in the library.
        interface: CAN interface.

    Raises:
        ArmError: the library finds no such interface, or no motors on it.
    """

    def __init__(self, model: str, interface: str) -> None:
        import arx5_interface as arx5  # only the child may load it

        self._arx5 = arx5
        robot = arx5.RobotConfigFactory.get_instance().get_config(model)
        self._control = arx5.ControllerConfigFactory.get_instance().get_config(
            "joint_controller", 6
        )
        self._control.gravity_compensation = True
        self._control.shutdown_to_passive = True
        self.gripper_torque_max = float(robot.gripper_torque_max)
        try:
            self._arm: Any = arx5.Arx5JointController(robot, self._control, interface)
        except RuntimeError as error:
            raise ArmError(
                f"CAN interface {interface!r}",
                got=str(error).rstrip("."),
                expected="a bus that is up (ip link show) and an arm with power on it",
            ) from error

    def read(self) -> Reading:
        """The newest state."""
        before = self._sent_opening()
        state = self._arm.get_joint_state()  # a temporary's arrays would dangle
        joints = np.array((state.pos(), state.vel(), state.torque()))
        gripper, cycle = float(state.gripper_pos), float(state.timestamp)
        # For microseconds in each cycle the library shows the wish before it cuts it down.
        sent = min(before, self._sent_opening(), key=lambda opening: abs(opening - gripper))
        return Reading(
            joints,
            gripper,
            float(state.gripper_vel),
            float(state.gripper_torque),
            sent,
            cycle,
            float(self._arm.get_timestamp()) - cycle,
        )

    def _sent_opening(self) -> float:
        return float(self._arm.get_joint_cmd().gripper_pos)

    def send(self, command: NDArray[np.float64]) -> None:
        """Send joint targets [rad] and opening [m]. Shape (7,)."""
        target = self._arx5.JointState(6)
        target.pos()[:] = command[:6]
        target.gripper_pos = float(command[6])
        self._arm.set_joint_cmd(target)

    def engage(self, command: NDArray[np.float64]) -> None:
        """Become stiff at targets that are where the arm is. Shape (7,)."""
        self.send(command)
        time.sleep(SETTLING)
        control = self._control
        gains = control.default_kp, control.default_kd
        gripper = control.default_gripper_kp, control.default_gripper_kd
        self._arm.set_gain(self._arx5.Gain(*gains, *gripper))

    def damp(self) -> None:
        """No stiffness: gravity is compensated and motion braked."""
        self._arm.set_to_damping()

    def teach(self) -> None:
        """No stiffness and little damping: the arm can be guided by hand, the gripper too."""
        damping = TEACH_DAMPING * np.asarray(self._control.default_kd)
        self._arm.set_gain(self._arx5.Gain(np.zeros(6), damping, 0.0, 0.0))

    def close(self) -> None:
        """Damp for about two seconds and leave the bus."""
        self._arm = None
