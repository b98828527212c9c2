"""Messages to and from the contract, with stand-ins for the messages: no ROS is needed."""

import math
import struct
import zlib
from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_policy.contract import ActionChunk, ComputeReport
from vla_policy.conversions import (
    chunk_from_message,
    chunk_to_message,
    joint_values,
    pose_from_message,
    pose_to_message,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    seconds,
    set_stamp,
)
from vla_policy.errors import PolicyError
from vla_policy.image_conversion import compressed_image_to_rgb, image_to_rgb, rgb_to_image
from vla_policy.observation import (
    StateHistory,
    StateSample,
    assemble_observation,
    interpolate_state,
)

RNG = np.random.default_rng(0)


def stamp(time=0.0):
    message = Message(sec=0, nanosec=0)
    set_stamp(message, time)
    return message


def header(time=0.0):
    return Message(stamp=stamp(time), frame_id="")


def image(pixels, encoding, padding=0, big_endian=0, time=0.0):
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Message(
        header=header(time),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=big_endian,
        step=padded.shape[1],
        data=padded.tobytes(),
    )


def pose():
    return Message(position=Message(x=0.0, y=0.0, z=0.0), orientation=Message(x=0, y=0, z=0, w=1))


PIXELS = RNG.integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7, 1), np.uint8)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("big_endian", [0, 1])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", PIXELS),
        ("bgr8", PIXELS[..., ::-1]),
        ("rgba8", np.concatenate([PIXELS, ALPHA], 2)),
        ("bgra8", np.concatenate([PIXELS[..., ::-1], ALPHA], 2)),
    ],
)
def test_every_colour_encoding_gives_the_same_rgb(encoding, pixels, padding, big_endian):
    message = image(np.ascontiguousarray(pixels), encoding, padding, big_endian)
    assert np.array_equal(image_to_rgb(message), PIXELS)


def test_grey_is_the_same_in_all_channels():
    grey = image_to_rgb(image(PIXELS[..., :1], "mono8", padding=1))
    assert grey.shape == (5, 7, 3)
    assert all(np.array_equal(grey[..., channel], PIXELS[..., 0]) for channel in range(3))


def test_an_image_owns_its_memory():
    data = bytearray(PIXELS.tobytes())
    message = image(PIXELS, "rgb8")
    message.data = data
    converted = image_to_rgb(message)
    data[:] = bytes(len(data))
    assert np.array_equal(converted, PIXELS)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"encoding": "32FC3"}, "encoding"),
        ({"encoding": "RGB8"}, "encoding"),
        ({"encoding": ""}, "encoding"),
        ({"height": 0}, "size"),
        ({"width": 0}, "size"),
        ({"width": 2**31}, "size"),
        ({"height": 6}, "data"),
        ({"data": b""}, "data"),
        ({"data": bytes(106)}, "data"),
        ({"step": 20}, "step"),
        ({"step": 0}, "step"),
    ],
)
def test_a_broken_image_is_named(change, word):
    message = image(PIXELS, "rgb8")
    vars(message).update(change)
    with pytest.raises(PolicyError, match=word):
        image_to_rgb(message)


def test_png_comes_back_exactly_and_jpeg_closely():
    smooth = cv2.resize(PIXELS, (96, 96), interpolation=cv2.INTER_CUBIC)
    for kind, worst in ((".png", 0), (".jpg", 25)):
        _, data = cv2.imencode(kind, smooth[..., ::-1])
        message = Message(header=header(), format=kind, data=data.tobytes())
        difference = np.abs(compressed_image_to_rgb(message).astype(int) - smooth)
        assert np.percentile(difference, 95) <= worst


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header says that it is so large."""
    _, data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))
    head = b"IHDR" + struct.pack(">II", width, height) + data.tobytes()[24:29]
    return data.tobytes()[:12] + head + struct.pack(">I", zlib.crc32(head)) + data.tobytes()[33:]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8 not a jpeg", bytes(1000), png_of(900_000, 900_000)],
    ids=["nothing", "no jpeg", "zeros", "a width of 900,000"],
)
def test_a_broken_compressed_image_is_named(data):
    with pytest.raises(PolicyError, match="compressed"):
        compressed_image_to_rgb(Message(header=header(), format="jpeg", data=data))


def test_joints_are_found_by_name_in_any_order():
    message = Message(name=["b", "x", "a"], position=[2.0, 9.0, 1.0], velocity=[], effort=[])
    assert joint_values(message, ["a", "b"]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("names", "values", "word"),
    [
        (["a"], [1.0], "also \\['b'\\]"),
        ([], [], "also"),
        (["a", "b"], [1.0], "one for each"),
        (["a", "b"], [1.0, math.nan], "finite"),
        (["a", "b", "b"], [1.0, 2.0, 3.0], "once"),
    ],
)
def test_broken_joint_states_are_named(names, values, word):
    with pytest.raises(PolicyError, match=word):
        joint_values(Message(name=names, position=values), ["a", "b"])


angles = st.floats(-1.8, 1.8)


@given(angles, angles, angles)
def test_rotation_survives_the_quaternion(x, y, z):
    if math.hypot(x, y, z) < math.pi - 1e-3:
        assert quaternion_to_rotvec(*rotvec_to_quaternion(x, y, z)) == pytest.approx(
            (x, y, z), abs=1e-9
        )


def test_pose_survives_the_message():
    message, value = pose(), np.array([0.3, -0.1, 0.2, 0.0, math.pi / 2, 0.1])
    pose_to_message(value, message)
    assert pose_from_message(message) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("broken", [(0, 0, 0, 0), (0, 0, 0, math.nan), (2, 0, 0, 0)])
def test_a_quaternion_that_is_none_is_refused(broken):
    with pytest.raises(PolicyError, match="quaternion"):
        quaternion_to_rotvec(*broken)


def test_interpolation_ends_at_its_ends_and_turns_at_even_speed():
    before = np.array([0, 0, 0, 0, 0, 0.0, 0.0, 0.08])
    after = np.array([1, 2, 3, 0, 1.0, 0, 0.04, 0.0])
    assert interpolate_state(before, after, 0.0) == pytest.approx(before)
    assert interpolate_state(before, after, 1.0) == pytest.approx(after)
    quarter = interpolate_state(before, after, 0.25)
    assert quarter == pytest.approx([0.25, 0.5, 0.75, 0, 0.25, 0, 0.01, 0.06])


def test_an_observation_has_the_stamp_of_its_oldest_image():
    asked = []

    def state_at(time):
        asked.append(time)
        return StateSample(np.arange(8.0), (1.88,))

    messages = {"front": image(PIXELS, "rgb8", time=2.0), "wrist": image(PIXELS, "rgb8", time=1.9)}
    observation = assemble_observation(messages, state_at, "go")
    assert observation.stamp == asked[0] == pytest.approx(1.9)
    assert observation.input_stamps["front"] == pytest.approx(2.0)
    assert observation.input_stamps["ee_state"] == 1.88
    assert observation.state.dtype == np.float32
    observation.validate(["front", "wrist"])


def test_a_state_between_two_names_both_and_can_be_made_again_of_them():
    history, rng = StateHistory(), np.random.default_rng(1)
    states = {0.02 * i: rng.uniform(-0.3, 0.3, 8) for i in range(20)}
    for time, state in states.items():
        history.add(time, state)
    between = history.at(0.113)
    assert between.stamps == pytest.approx((0.10, 0.12))
    again = StateHistory()
    for time in between.stamps:
        again.add(time, states[time])
    assert np.array_equal(again.at(0.113).state, between.state)
    assert history.at(0.45).stamps == pytest.approx((0.38,))
    with pytest.raises(PolicyError, match="nearest"):
        history.at(0.6)


@pytest.mark.parametrize("instruction", ["", "  ", "a" * 1025, "é" * 600])
def test_an_unfit_instruction_makes_no_observation(instruction):
    with pytest.raises(PolicyError, match="instruction"):
        assemble_observation(
            {"front": image(PIXELS, "rgb8")},
            lambda time: StateSample(np.zeros(8), (time,)),
            instruction,
        )


def test_a_broken_camera_is_named():
    with pytest.raises(PolicyError, match="wrist"):
        assemble_observation(
            {"front": image(PIXELS, "rgb8"), "wrist": image(PIXELS, "32FC3")},
            lambda time: StateSample(np.zeros(8), (time,)),
            "go",
        )


def test_an_image_survives_the_message():
    class Data(bytearray):
        def frombytes(self, data):
            self[:] = bytes(data)

    message = Message(header=header(), data=Data())
    rgb_to_image(PIXELS[:, ::-1], message)
    assert np.array_equal(image_to_rgb(message), PIXELS[:, ::-1])


def test_a_chunk_survives_the_message():
    targets = RNG.uniform(-0.5, 0.5, (16, 7)).astype(np.float32)
    report = ComputeReport((0, 2), (18, 9), (10, 5), 1.5, {"vision": 1.0, "total": 4.0})
    stamps = {"front": 12.3, "ee_state": 12.3}
    chunk = ActionChunk(targets, 12.3, 0.1, "base_link", 4, "abc", "go", 7, stamps, report)
    message = Message(
        header=header(), step_dt=stamp(), report=Message(), poses=[], grippers=[], inputs=[]
    )
    chunk_to_message(chunk, message, pose, lambda: Message(name="", stamp=stamp()))
    back = chunk_from_message(message)
    assert back.targets == pytest.approx(targets, abs=1e-6)
    for name in ("frame_id", "sequence", "policy_hash", "instruction", "seed", "report"):
        assert getattr(back, name) == getattr(chunk, name)
    assert back.stamp == pytest.approx(12.3, abs=1e-9)
    assert back.input_stamps == pytest.approx(chunk.input_stamps)


@given(st.floats(0, 4e9))
def test_stamps_are_kept_to_the_nanosecond(time):
    message = stamp(time)
    assert 0 <= message.nanosec < 10**9
    assert seconds(message) == pytest.approx(time, abs=1e-6)
