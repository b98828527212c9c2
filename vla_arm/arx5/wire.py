"""What passes between the driver and its child: packets over one Unix socket, never waited for."""

from __future__ import annotations

import enum
import json
import signal
import struct
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_arm.joint_table import ArmModel

JOINTS = 6
MAX_PACKET = 1024
ENDING = signal.SIGINT, signal.SIGTERM
"""Signals that the driver blocks while it starts the child, and the child until it has handlers."""
_ORDER = struct.Struct("<BQd9d")
_REPORT = struct.Struct("<BQQd19d")


class Verb(enum.IntEnum):
    """What the child shall do."""

    FOLLOW = 0
    DAMP = 1
    ENGAGE = 2
    TEACH = 3
    LIMIT = 4


class Mode(enum.IntEnum):
    """What the child does."""

    STARTING = 0
    DAMPED = 1
    ENGAGED = 2
    TEACHING = 3
    FAULT = 4
    LEAVING = 5


@dataclass(frozen=True)
class ChildConfig:
    """What the child needs to know at its start.

    Attributes:
        model: of the arm, as the library names it.
        interface: CAN interface, e.g. ``can0``.
        lower, upper: joint ranges [rad].
        velocity: largest joint speeds, of targets and as measured [rad/s].
        torque: largest joint torques [Nm].
        gripper_max: largest opening [m].
        period: between the driver's targets [s].
    """

    model: str
    interface: str
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    velocity: tuple[float, ...]
    torque: tuple[float, ...]
    gripper_max: float
    period: float

    @classmethod
    def of_arm(cls, arm: ArmModel, interface: str, period: float) -> ChildConfig:
        """From the joint table."""
        return cls(
            model=arm.name,
            interface=interface,
            lower=tuple(arm.lower.tolist()),
            upper=tuple(arm.upper.tolist()),
            velocity=tuple(arm.velocity.tolist()),
            torque=tuple(joint.torque for joint in arm.joints),
            gripper_max=arm.gripper_max,
            period=period,
        )

    def to_json(self) -> str:
        """One line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ChildConfig:
        """The inverse of :meth:`to_json`."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in json.loads(text).items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Order:
    """From the driver.

    Attributes:
        verb: what to do.
        number: counts up.
        time: steady clock when it was given [s].
        positions: joint targets of FOLLOW. Shape (6,) [rad].
        gripper: opening of FOLLOW [m].
        torque_scale: share of the torque limits above which the child damps.
        speed_scale: share of the joint speeds at which the child follows. LIMIT carries nothing
            but the two shares; all other orders carry them too.
    """

    verb: Verb
    number: int
    time: float
    positions: NDArray[np.float64]
    gripper: float
    torque_scale: float
    speed_scale: float

    def pack(self) -> bytes:
        """The packet."""
        shares = self.torque_scale, self.speed_scale
        return _ORDER.pack(
            self.verb, self.number, self.time, *self.positions, self.gripper, *shares
        )

    @classmethod
    def unpack(cls, packet: bytes) -> Order:
        """The inverse of :meth:`pack`."""
        verb, number, time, *values = _ORDER.unpack(packet)
        return cls(Verb(verb), number, time, np.array(values[:6]), *values[6:])


@dataclass(frozen=True)
class Report:
    """From the child; also its heartbeat.

    Attributes:
        mode: what it does.
        acknowledged: number of the last order that it obeyed.
        tick: counts control periods; the state of a new one is to be passed on.
        time: steady clock of the measurement [s].
        positions, velocities, torques: Shape (6,) each [rad], [rad/s], [Nm].
        gripper: opening [m].
        text: what is wrong; empty if nothing is.
    """

    mode: Mode
    acknowledged: int
    tick: int
    time: float
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    torques: NDArray[np.float64]
    gripper: float
    text: str = ""

    def pack(self) -> bytes:
        """The packet."""
        numbers = (*self.positions, *self.velocities, *self.torques, self.gripper)
        head = _REPORT.pack(self.mode, self.acknowledged, self.tick, self.time, *numbers)
        return head + self.text.encode()[: MAX_PACKET - _REPORT.size]

    @classmethod
    def unpack(cls, packet: bytes) -> Report:
        """The inverse of :meth:`pack`."""
        mode, acknowledged, tick, time, *v = _REPORT.unpack_from(packet)
        text = packet[_REPORT.size :].decode(errors="replace")
        arrays = np.array(v[:6]), np.array(v[6:12]), np.array(v[12:18])
        return cls(Mode(mode), acknowledged, tick, time, *arrays, v[18], text)
