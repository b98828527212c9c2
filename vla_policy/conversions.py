"""ROS messages to and from the contract, by their fields: no ROS is imported here.

A message is anything with the right attributes, so that the nodes (rclpy messages) and the offline
tools (messages read from a bag) call the same functions and see the same observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_policy.contract import (
    STATE_SIZE,
    TARGET_SIZE,
    ActionChunk,
    ComputeReport,
    Observation,
    validate_instruction,
)
from vla_policy.errors import PolicyError

# Encoding (sensor_msgs/image_encodings) -> the channels that are red, green and blue, of how many.
_CHANNELS: dict[str, tuple[tuple[int, int, int], int]] = {
    "rgb8": ((0, 1, 2), 3),
    "bgr8": ((2, 1, 0), 3),
    "rgba8": ((0, 1, 2), 4),
    "bgra8": ((2, 1, 0), 4),
    "mono8": ((0, 0, 0), 1),
}
MAX_IMAGE_SIDE = 8192


def seconds(stamp: Any) -> float:
    """Return a ``builtin_interfaces/Time`` as seconds [s]."""
    return stamp.sec + stamp.nanosec * 1e-9


def set_stamp(message: Any, time: float) -> None:
    """Write a time [s] into a ``builtin_interfaces/Time``."""
    nanoseconds = round(time * 1e9)
    message.sec, message.nanosec = divmod(nanoseconds, 1_000_000_000)


def image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert a ``sensor_msgs/Image`` with any row padding.

    Byte order is of no matter to the 8-bit encodings that are understood.

    Returns:
        RGB image. Shape (height, width, 3), uint8, contiguous; its memory is its own.

    Raises:
        PolicyError: the encoding is not understood, the size is zero or absurd, the step is shorter
            than a row, or there are fewer or more bytes than step x height.
    """
    if message.encoding not in _CHANNELS:
        raise PolicyError(
            "image encoding", got=repr(message.encoding), expected=f"one of {sorted(_CHANNELS)}"
        )
    order, depth = _CHANNELS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not (0 < height <= MAX_IMAGE_SIDE and 0 < width <= MAX_IMAGE_SIDE):
        raise PolicyError(
            "image size", got=f"{width}x{height}", expected=f"1 to {MAX_IMAGE_SIDE} px a side"
        )
    if step < width * depth:
        raise PolicyError("image step", got=step, expected=f"at least {width * depth} bytes")
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size != step * height:
        raise PolicyError(
            "image data", got=f"{data.size} bytes", expected=f"step x height = {step * height}"
        )
    pixels = data.reshape(height, step)[:, : width * depth].reshape(height, width, depth)
    if order == (0, 1, 2) and depth == 3:
        return pixels.copy()
    return np.ascontiguousarray(pixels[:, :, list(order)])


def compressed_image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert a ``sensor_msgs/CompressedImage`` (JPEG or PNG).

    Returns:
        RGB image. Shape (height, width, 3), uint8.

    Raises:
        PolicyError: the bytes are not an image that OpenCV can decode.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise PolicyError(
            "compressed image",
            got=f"{data.size} bytes, format {message.format!r}",
            expected="a whole JPEG or PNG",
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert an ``Image`` or a ``CompressedImage``, told apart by their fields."""
    return (
        image_to_rgb(message) if hasattr(message, "encoding") else compressed_image_to_rgb(message)
    )


def rgb_to_image(image: NDArray[np.uint8], message: Any) -> None:
    """Fill a ``sensor_msgs/Image`` from an RGB image. Shape (H, W, 3), uint8."""
    message.height, message.width = image.shape[:2]
    message.encoding, message.is_bigendian, message.step = "rgb8", 0, image.shape[1] * 3
    message.data.frombytes(np.ascontiguousarray(image).data)


def joint_values(
    message: Any, names: Sequence[str], field: str = "position"
) -> NDArray[np.float64]:
    """Pick joints by name from a ``sensor_msgs/JointState``; their order there is of no matter.

    Args:
        message: the joint states.
        names: joints wanted, in the order wanted.
        field: ``position`` [rad or m], ``velocity`` [rad/s or m/s] or ``effort`` [Nm or N].

    Returns:
        Shape (len(names),), float64.

    Raises:
        PolicyError: a joint is missing, named twice, without a value in ``field``, or not finite.
    """
    place = {name: i for i, name in enumerate(message.name)}
    missing = [name for name in names if name not in place]
    if missing:
        raise PolicyError("joint_states", got=list(message.name), expected=f"also {missing}")
    if len(place) != len(message.name):
        raise PolicyError("joint_states", got=list(message.name), expected="each name once")
    values = getattr(message, field)
    if len(values) != len(message.name):
        raise PolicyError(
            f"joint_states.{field}",
            got=f"{len(values)} values",
            expected=f"one for each of {len(message.name)} names",
        )
    picked = np.array([values[place[name]] for name in names], dtype=np.float64)
    if not np.isfinite(picked).all():
        raise PolicyError(f"joint_states.{field}", got=picked, expected="finite numbers")
    return picked


def quaternion_to_rotvec(x: float, y: float, z: float, w: float) -> tuple[float, float, float]:
    """Return the rotation vector [rad], at most pi long, of a quaternion.

    Raises:
        PolicyError: the quaternion is not finite or not of unit length (to 1 %).
    """
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    if not abs(norm - 1.0) < 0.01:
        raise PolicyError("orientation", got=f"quaternion of length {norm}", expected="length 1")
    sine = math.sqrt(x * x + y * y + z * z)
    if sine < 1e-12:
        return 0.0, 0.0, 0.0
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    scale = 2.0 * math.atan2(sine, w) / sine
    return x * scale, y * scale, z * scale


def rotvec_to_quaternion(x: float, y: float, z: float) -> tuple[float, float, float, float]:
    """Return the quaternion (x, y, z, w) of a rotation vector [rad]."""
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        return 0.5 * x, 0.5 * y, 0.5 * z, 1.0
    scale = math.sin(0.5 * angle) / angle
    return x * scale, y * scale, z * scale, math.cos(0.5 * angle)


def pose_from_message(pose: Any) -> NDArray[np.float64]:
    """Return position [m] and rotation vector [rad] of a ``geometry_msgs/Pose``. Shape (6,).

    Raises:
        PolicyError: a number is not finite or the quaternion is not of unit length.
    """
    p, q = pose.position, pose.orientation
    values = np.array((p.x, p.y, p.z, *quaternion_to_rotvec(q.x, q.y, q.z, q.w)))
    if not np.isfinite(values).all():
        raise PolicyError("pose", got=values, expected="finite numbers")
    return values


def pose_to_message(pose: NDArray[np.floating], message: Any) -> None:
    """Fill a ``geometry_msgs/Pose`` from position [m] and rotation vector [rad], Shape (6+,)."""
    x, y, z, rx, ry, rz = (float(value) for value in pose[:6])
    p, q = message.position, message.orientation
    p.x, p.y, p.z = x, y, z
    q.x, q.y, q.z, q.w = rotvec_to_quaternion(rx, ry, rz)


def state_from_message(message: Any) -> NDArray[np.float64]:
    """Return the policy's state of a ``vla_msgs/EndEffectorState``.

    Returns:
        Measured position [m] and rotation vector [rad] in the base frame, gripper opening measured
        and commanded [m]. Shape (8,), float64.

    Raises:
        PolicyError: a number is not finite or the quaternion is not of unit length.
    """
    state = np.empty(STATE_SIZE)
    state[:6] = pose_from_message(message.measured)
    state[6:] = message.gripper_measured, message.gripper_commanded
    if not np.isfinite(state).all():
        raise PolicyError("ee_state", got=state, expected="finite numbers")
    return state


def interpolate_state(
    before: NDArray[np.float64], after: NDArray[np.float64], fraction: float
) -> NDArray[np.float64]:
    """Return the state between two states: linear, and slerp of the rotation.

    Args:
        before: state at fraction 0. Shape (8,).
        after: state at fraction 1. Shape (8,).
        fraction: 0 to 1.
    """
    state = before + fraction * (after - before)
    a, b = rotvec_to_quaternion(*before[3:6]), rotvec_to_quaternion(*after[3:6])
    cosine = sum(i * j for i, j in zip(a, b, strict=True))
    sign = -1.0 if cosine < 0.0 else 1.0
    angle = math.acos(min(1.0, abs(cosine)))
    if angle < 1e-9:
        weights = 1.0 - fraction, fraction * sign
    else:
        weights = (
            math.sin((1.0 - fraction) * angle) / math.sin(angle),
            sign * math.sin(fraction * angle) / math.sin(angle),
        )
    q = [weights[0] * i + weights[1] * j for i, j in zip(a, b, strict=True)]
    state[3:6] = quaternion_to_rotvec(q[0], q[1], q[2], q[3])
    return state


def assemble_observation(
    images: Mapping[str, Any],
    state_at: Callable[[float], NDArray[np.float64]],
    instruction: str,
) -> Observation:
    """Make an observation of the newest messages.

    Args:
        images: camera name -> ``Image`` or ``CompressedImage``.
        state_at: returns the state at a time [s]. Shape (8,).
        instruction: what to do.

    Returns:
        The observation at the stamp of its oldest image.

    Raises:
        PolicyError: there is no image, one is not convertible, or the instruction is unfit.
    """
    if not images:
        raise PolicyError("observation", got="no image", expected="at least one camera")
    validate_instruction(instruction)
    stamps = {name: seconds(image.header.stamp) for name, image in images.items()}
    stamp = min(stamps.values())
    pixels: dict[str, NDArray[np.uint8]] = {}
    for name, image in images.items():
        try:
            pixels[name] = to_rgb(image)
        except PolicyError as error:
            raise PolicyError(
                f"camera {name!r}: {error.what}", got=error.got, expected=error.expected
            ) from error
    return Observation(
        images=pixels,
        state=np.asarray(state_at(stamp), dtype=np.float32),
        instruction=instruction,
        stamp=stamp,
        input_stamps={**stamps, "ee_state": stamp},
    )


def report_to_message(report: ComputeReport, message: Any) -> None:
    """Fill a ``vla_msgs/ComputeReport``."""
    message.layers_run = list(report.layers_run)
    message.visual_tokens_entered, message.visual_tokens_kept = report.visual_tokens
    message.head_steps, message.head_steps_computed = report.head_steps
    message.gflops = float(report.gflops)
    message.stages = list(report.milliseconds)
    message.milliseconds = [float(value) for value in report.milliseconds.values()]


def report_from_message(message: Any) -> ComputeReport:
    """Read a ``vla_msgs/ComputeReport``."""
    return ComputeReport(
        layers_run=tuple(int(layer) for layer in message.layers_run),
        visual_tokens=(message.visual_tokens_entered, message.visual_tokens_kept),
        head_steps=(message.head_steps, message.head_steps_computed),
        gflops=message.gflops,
        milliseconds=dict(zip(message.stages, message.milliseconds, strict=True)),
    )


def chunk_to_message(
    chunk: ActionChunk,
    message: Any,
    new_pose: Callable[[], Any],
    new_input: Callable[[], Any],
) -> None:
    """Fill a ``vla_msgs/ActionChunk``.

    Args:
        chunk: the chunk.
        message: an empty message.
        new_pose: makes a ``geometry_msgs/Pose``.
        new_input: makes a ``vla_msgs/StampedInput``.
    """
    set_stamp(message.header.stamp, chunk.stamp)
    message.header.frame_id = chunk.frame_id
    set_stamp(message.step_dt, chunk.step_dt)
    poses = [new_pose() for _ in chunk.targets]
    for pose, target in zip(poses, chunk.targets, strict=True):
        pose_to_message(target, pose)
    message.poses = poses
    message.grippers = [float(target[6]) for target in chunk.targets]
    message.sequence, message.seed = chunk.sequence, chunk.seed
    message.policy_hash, message.instruction = chunk.policy_hash, chunk.instruction
    inputs = []
    for name, stamp in chunk.input_stamps.items():
        entry = new_input()
        entry.name = name
        set_stamp(entry.stamp, stamp)
        inputs.append(entry)
    message.inputs = inputs
    report_to_message(chunk.report, message.report)


def chunk_from_message(message: Any) -> ActionChunk:
    """Read a ``vla_msgs/ActionChunk``.

    Raises:
        PolicyError: there are more or fewer grippers than poses, or a pose is broken.
    """
    if len(message.poses) != len(message.grippers):
        raise PolicyError(
            "action_chunk", got=f"{len(message.grippers)} grippers", expected=len(message.poses)
        )
    targets = np.empty((len(message.poses), TARGET_SIZE), dtype=np.float32)
    for row, (pose, gripper) in enumerate(zip(message.poses, message.grippers, strict=True)):
        targets[row, :6], targets[row, 6] = pose_from_message(pose), gripper
    return ActionChunk(
        targets=targets,
        stamp=seconds(message.header.stamp),
        step_dt=seconds(message.step_dt),
        frame_id=message.header.frame_id,
        sequence=message.sequence,
        policy_hash=message.policy_hash,
        instruction=message.instruction,
        seed=message.seed,
        input_stamps={entry.name: seconds(entry.stamp) for entry in message.inputs},
        report=report_from_message(message.report),
    )
