"""The bench speaks the motors' language."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))
from can_bench import frames


@given(st.floats(-12.5, 12.5), st.integers(9, 16))
def test_restore_undoes_quantise_to_a_quantum(value, bits):
    quantum = 25.0 / ((1 << bits) - 1)
    number = frames.quantise(value, frames.POSITION, bits)
    assert 0 <= number < 1 << bits
    assert abs(frames.restore(number, frames.POSITION, bits) - value) <= quantum


def test_commands_have_the_documented_bits():
    # mode 3, kp 12, kd 9, position 16, velocity 12, current 12
    bits = 0 << 61 | 0xFFF << 49 | 0 << 40 | 0xFFFF << 24 | 0 << 12 | 0xFFF
    ec = frames.decode_ec(bits.to_bytes(8, "big"))
    assert ec == frames.MotorCommand(500.0, 0.0, 12.5, -18.0, 30.0)
    assert frames.decode_ec((1 << 61).to_bytes(8, "big")) is None
    # position 16, velocity 12, kp 12, kd 12, torque 12
    bits = 0xFFFF << 48 | 0 << 36 | 0xFFF << 24 | 0 << 12 | 0xFFF
    dm = frames.decode_dm(bits.to_bytes(8, "big"))
    assert dm == frames.MotorCommand(500.0, 0.0, 12.5, -45.0, 18.0)


@pytest.mark.parametrize("last, word", [(0xFC, "enable"), (0xFB, "clear"), (0xFE, "zero")])
def test_words(last, word):
    assert frames.decode_dm(b"\xff" * 7 + bytes([last])) == word


def test_replies_name_their_motor():
    id, length, data = frames.FRAME.unpack(frames.ec_reply(4, 1.0, 0.0, 0.0))
    assert (id, length, data[0]) == (4, 8, 0x20)
    id, length, data = frames.FRAME.unpack(frames.dm_reply(7, 1.0, 0.0, 0.0))
    assert (id, length, data[0] & 0xF) == (0, 8, 7)
