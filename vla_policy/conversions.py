"""Stamps, joints, poses and chunks: ROS messages to and from numbers, by their fields.

A message is anything with the right attributes, so that the nodes (rclpy messages) and the offline
tools (messages read from a bag) call the same functions; no ROS is imported here. Images are in
:mod:`vla_policy.image_conversion`, observations in :mod:`vla_policy.observation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_policy.contract import TARGET_SIZE, ActionChunk, ComputeReport, Continuation
from vla_policy.errors import PolicyError

PREVIOUS_CHUNK, FROZEN_UNTIL = "previous_chunk", "frozen_until"
"""Names of the inputs by which a chunk's message says what it continues."""


def seconds(stamp: Any) -> float:
    """Return a ``builtin_interfaces/Time`` as seconds [s]."""
    return stamp.sec + stamp.nanosec * 1e-9


def set_stamp(message: Any, time: float) -> None:
    """Write a time [s] into a ``builtin_interfaces/Time``."""
    nanoseconds = round(time * 1e9)
    message.sec, message.nanosec = divmod(nanoseconds, 1_000_000_000)


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
    x, y, z, rx, ry, rz = pose[:6].tolist()
    p, q = message.position, message.orientation
    p.x, p.y, p.z = x, y, z
    q.x, q.y, q.z, q.w = rotvec_to_quaternion(rx, ry, rz)


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
    message.grippers = chunk.targets[:, 6].tolist()
    message.sequence, message.seed = chunk.sequence, chunk.seed
    message.policy_hash, message.instruction = chunk.policy_hash, chunk.instruction
    inputs, stamps = [], dict(chunk.input_stamps)
    if chunk.continues is not None:
        stamps[PREVIOUS_CHUNK] = chunk.continues.previous
        stamps[FROZEN_UNTIL] = chunk.continues.frozen_until
    for name, stamp in stamps.items():
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
    stamps = {entry.name: seconds(entry.stamp) for entry in message.inputs}
    continues = [stamps.pop(name, None) for name in (PREVIOUS_CHUNK, FROZEN_UNTIL)]
    return ActionChunk(
        targets=targets,
        stamp=seconds(message.header.stamp),
        step_dt=seconds(message.step_dt),
        frame_id=message.header.frame_id,
        sequence=message.sequence,
        policy_hash=message.policy_hash,
        instruction=message.instruction,
        seed=message.seed,
        input_stamps=stamps,
        report=report_from_message(message.report),
        continues=None if None in continues else Continuation(*continues),  # type: ignore[arg-type]
    )
