"""What the motors of an ARX5 say over CAN: EC_A4310 (joints 1 to 3 of the X5) and DM_J4310.

A frame is Linux's 16-byte ``struct can_frame``. Numbers are unsigned integers of so many bits over
a range, most significant bit first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

FRAME = struct.Struct("<IB3x8s")
"""id, length, data."""
POSITION = (-12.5, 12.5)
KP = (0.0, 500.0)
KD = (0.0, 5.0)
EC_VELOCITY, EC_CURRENT = (-18.0, 18.0), (-30.0, 30.0)
DM_VELOCITY, DM_TORQUE = (-45.0, 45.0), (-18.0, 18.0)
DM_REPLY_ID = 0
_DM_WORDS = {0xFC: "enable", 0xFB: "clear", 0xFE: "zero", 0xFD: "disable"}


def quantise(value: float, span: tuple[float, float], bits: int) -> int:
    """Number -> integer of so many bits; outside the span, its end."""
    low, high = span
    inside = min(max(value, low), high)
    return int((inside - low) * ((1 << bits) - 1) / (high - low))


def restore(number: int, span: tuple[float, float], bits: int) -> float:
    """Integer of so many bits -> number."""
    low, high = span
    return low + number * (high - low) / ((1 << bits) - 1)


@dataclass(frozen=True)
class MotorCommand:
    """What a motor shall do: torque = kp (position - q) + kd (velocity - dq) + feed-forward.

    Attributes:
        kp: [Nm/rad].
        kd: [Nm s/rad].
        position: [rad].
        velocity: [rad/s].
        effort: feed-forward, current [A] for EC, torque in the motor's own unit for DM.
    """

    kp: float
    kd: float
    position: float
    velocity: float
    effort: float


def decode_ec(data: bytes) -> MotorCommand | None:
    """A command to an EC motor; None for anything but its mode 0 (force and position)."""
    bits = int.from_bytes(data, "big")
    if bits >> 61:
        return None
    return MotorCommand(
        kp=restore(bits >> 49 & 0xFFF, KP, 12),
        kd=restore(bits >> 40 & 0x1FF, KD, 9),
        position=restore(bits >> 24 & 0xFFFF, POSITION, 16),
        velocity=restore(bits >> 12 & 0xFFF, EC_VELOCITY, 12),
        effort=restore(bits & 0xFFF, EC_CURRENT, 12),
    )


def decode_dm(data: bytes) -> MotorCommand | str:
    """A command to a DM motor, or the name of a word: enable, clear, zero, disable."""
    if data[:7] == b"\xff" * 7 and data[7] in _DM_WORDS:
        return _DM_WORDS[data[7]]
    bits = int.from_bytes(data, "big")
    return MotorCommand(
        kp=restore(bits >> 24 & 0xFFF, KP, 12),
        kd=restore(bits >> 12 & 0xFFF, KD, 12),
        position=restore(bits >> 48, POSITION, 16),
        velocity=restore(bits >> 36 & 0xFFF, DM_VELOCITY, 12),
        effort=restore(bits & 0xFFF, DM_TORQUE, 12),
    )


def ec_reply(motor: int, position: float, velocity: float, current: float) -> bytes:
    """The frame with which an EC motor answers a command."""
    bits = 1 << 61
    bits |= quantise(position, POSITION, 16) << 40
    bits |= quantise(velocity, EC_VELOCITY, 12) << 28
    bits |= quantise(current, EC_CURRENT, 12) << 16
    bits |= (25 * 2 + 50) << 8  # 25 degrees
    return FRAME.pack(motor, 8, bits.to_bytes(8, "big"))


def dm_reply(motor: int, position: float, velocity: float, torque: float) -> bytes:
    """The frame with which a DM motor answers a command."""
    bits = (0x10 | motor) << 56
    bits |= quantise(position, POSITION, 16) << 40
    bits |= quantise(velocity, DM_VELOCITY, 12) << 28
    bits |= quantise(torque, DM_TORQUE, 12) << 16
    bits |= 25 << 8 | 25
    return FRAME.pack(DM_REPLY_ID, 8, bits.to_bytes(8, "big"))
