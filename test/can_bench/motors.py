"""The arm behind the bus: the SDK's own URDF in MuJoCo, driven by the motors' own control law."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import NDArray

from can_bench import frames
from can_bench.frames import MotorCommand

TIMESTEP = 0.001
EC_TORQUE = 1.4
"""Feed-forward torque of an EC motor per ampere, as the library assumes [Nm/A]."""
DM_TORQUE = 0.424
"""The same of a DM motor per unit of its torque field."""
STOPS = ((-3.2, 2.7), (-0.1, 3.55), (-0.15, 3.25), (-1.7, 1.65), (-1.67, 1.67), (-2.1, 2.1))
"""Mechanical end stops of the joints, a little outside the limits of the SDK [rad]."""
GRIPPER_STOPS = (-0.1, 5.1)
"""The same of the gripper's motor [rad]."""
ROTOR = (0.02, 0.02, 0.02, 0.008, 0.008, 0.008, 0.002)
"""Inertia of each motor felt at its joint; the motors' makers state none [kg m^2]."""
GRIPPER_READOUT = 5.03 / 0.088
"""Turn of the gripper's motor over opening [rad/m]."""
HAND_KP, HAND_KD = np.array((40.0,) * 6 + (2.0,)), np.array((2.0,) * 6 + (0.05,))
"""How firmly a hand holds each joint and the gripper's motor [Nm/rad], [Nm s/rad]."""


REST = MotorCommand(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Faults:
    """What is broken just now.

    Attributes:
        silent: ids of motors that neither answer nor obey (they keep their last command).
        torque: id -> torque that the motor claims, whatever is true [Nm].
    """

    silent: set[int] = field(default_factory=set)
    torque: dict[int, float] = field(default_factory=dict)


@dataclass
class Hand:
    """Somebody's hand on the arm: a spring to where it is, which moves to where it wants to go.

    Attributes:
        grip: where it is. Shape (7,) [rad].
        goal: where it wants to go. Shape (7,) [rad].
        speed: how fast it moves [rad/s].
    """

    grip: NDArray[np.float64]
    goal: NDArray[np.float64]
    speed: float

    def push(self, q: NDArray[np.float64], dq: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move on by a time step; the torques at the joints. Shape (7,) [Nm]."""
        reach = self.speed * TIMESTEP
        self.grip = self.grip + np.clip(self.goal - self.grip, -reach, reach)
        return HAND_KP * (self.grip - q) - HAND_KD * dq


@dataclass
class Motor:
    """One motor: its place on the bus, and what it was told last."""

    id: int
    kind: str
    command: MotorCommand = REST
    enabled: bool = False


class MotorBank:
    """Seven motors and the arm that hangs on them.

    A motor keeps its last command when no frames come. Until the first command somebody holds the
    arm, as one does who switches it on.

    Args:
        urdf: path of the arm's URDF; its shapes are not used.
        kinds: ``EC`` or ``DM`` of motors 1, 2, 4, 5, 6, 7, 8.
        start: joint angles, Shape (6,) [rad], and opening [m].
    """

    IDS = (1, 2, 4, 5, 6, 7, 8)

    def __init__(self, urdf: str, kinds: tuple[str, ...], start: NDArray[np.float64]) -> None:
        self.motors = [Motor(id, kind) for id, kind in zip(self.IDS, kinds, strict=True)]
        self._index = {motor.id: i for i, motor in enumerate(self.motors)}
        self.faults = Faults()
        self._held = True
        self._hand: Hand | None = None
        self.model = _model(urdf)
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:6] = start[:6]
        self.data.qpos[6] = start[6] * GRIPPER_READOUT
        for motor in self.motors:
            self._obey(motor, motor.command)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if self._held:
            return
        for _ in range(max(1, round(seconds / TIMESTEP))):
            if self._hand is not None:
                self.data.qfrc_applied[:] = self._hand.push(self.data.qpos, self.data.qvel)
            mujoco.mj_step(self.model, self.data)

    def guide(self, goal: NDArray[np.float64] | None, speed: float = 0.0) -> None:
        """Have a hand take the arm along to a goal, or with None let go.

        Args:
            goal: joint angles [rad] and opening [m]. Shape (7,).
            speed: of every joint and of the gripper's motor [rad/s].
        """
        self.data.qfrc_applied[:] = 0.0
        if goal is None:
            self._hand = None
            return
        wanted = np.append(goal[:6], goal[6] * GRIPPER_READOUT)
        grip = self.data.qpos.copy() if self._hand is None else self._hand.grip
        self._hand = Hand(grip, wanted, speed)

    def grasp(self, width: float) -> None:
        """Lay a hard object of a width [m] between the fingers; 0 takes it out."""
        self.model.jnt_range[6, 0] = width * GRIPPER_READOUT if width else GRIPPER_STOPS[0]

    def answer(self, frame: bytes) -> bytes | None:
        """Take a frame from the bus; the motor's answer, or None where there is none."""
        id, _, data = frames.FRAME.unpack(frame)
        index = self._index.get(id)
        if index is None or id in self.faults.silent:
            return None
        motor = self.motors[index]
        command = frames.decode_ec(data) if motor.kind == "EC" else frames.decode_dm(data)
        if command is None:
            return None
        if isinstance(command, str):
            motor.enabled = {"enable": True, "disable": False}.get(command, motor.enabled)
        elif motor.kind == "EC" or motor.enabled:
            self._obey(motor, command)
        return self._reply(index)

    def claims(self) -> list[float]:
        """Joint angles [rad] and opening [m] as they truly are."""
        return [*self.data.qpos[:6].tolist(), float(self.data.qpos[6]) / GRIPPER_READOUT]

    def _obey(self, motor: Motor, command: MotorCommand) -> None:
        """Have MuJoCo integrate the control law implicitly: stiff gains stay stable."""
        i = self._index[motor.id]
        motor.command = command
        self._held = self._held and command == REST
        self.model.actuator_biasprm[i, 1:3] = -command.kp, -command.kd
        torque = command.effort * (EC_TORQUE if motor.kind == "EC" else DM_TORQUE)
        self.data.ctrl[i] = command.kp * command.position + command.kd * command.velocity + torque

    def _reply(self, i: int) -> bytes:
        motor = self.motors[i]
        q, dq = float(self.data.qpos[i]), float(self.data.qvel[i])
        torque = self.faults.torque.get(motor.id, float(self.data.actuator_force[i]))
        if motor.kind == "EC":
            # The library multiplies by the torque constant twice.
            return frames.ec_reply(motor.id, q, dq, torque / EC_TORQUE**2)
        return frames.dm_reply(motor.id, q, dq, torque / DM_TORQUE)


def _model(urdf: str) -> mujoco.MjModel:
    """The URDF without shapes, a motor on each joint, and the gripper's motor beside it."""
    robot = ElementTree.parse(urdf).getroot()
    for link in robot.iter("link"):
        for tag in ("visual", "collision"):
            for element in link.findall(tag):
                link.remove(element)
    for joint in list(robot.iter("joint")):
        if joint.get("type") == "prismatic":  # the fingers: their motor stands beside
            joint.set("type", "fixed")
    spec = mujoco.MjSpec.from_string(ElementTree.tostring(robot, encoding="unicode"))
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
    wheel = spec.worldbody.add_body(name="gripper_motor")
    wheel.mass, wheel.inertia, wheel.explicitinertial = 0.1, (1e-4, 1e-4, 1e-4), True
    wheel.ipos = (0.0, 0.0, 0.0)  # on its axis; left out, it is where the body is, twice as far
    wheel.add_joint(
        name="gripper",
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=(0.0, 0.0, 1.0),
    )
    joints = [joint for joint in spec.joints if joint.type == mujoco.mjtJoint.mjJNT_HINGE]
    for joint, rotor, stops in zip(joints, ROTOR, (*STOPS, GRIPPER_STOPS), strict=True):
        joint.armature = rotor
        joint.range, joint.limited = stops, mujoco.mjtLimited.mjLIMITED_TRUE
        motor = spec.add_actuator(
            name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        motor.set_to_motor()
        motor.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    return spec.compile()
