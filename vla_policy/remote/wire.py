"""What goes over the wire, and how little of it is believed.

Messages are maps in msgpack; an array is a map of ``__ndarray__``, ``dtype``, ``shape`` and
``data``, as openpi packs it, so that its client can talk to our server. Nothing that comes in is
more than numbers and text: no pickles, no objects, few types of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_policy.contract import (
    STATE_SIZE,
    TARGET_SIZE,
    ActionChunk,
    ComputeReport,
    Continuation,
    Memory,
    Observation,
)
from vla_policy.errors import PolicyError

DTYPES = ("|u1", "|b1", "<i4", "<i8", "<f4", "<f8")
MAX_DIMENSIONS = 4
MAX_IMAGE_SIDE = 4096
MAX_TARGETS = 4096
_MAX_NUMBER = 2**31


class WireError(PolicyError):
    """A message is not what it should be."""


def pack(message: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return bytes(msgpack.packb(message, default=_pack_array) or b"")


def unpack(data: object) -> dict[str, Any]:
    """Bytes as a message.

    Raises:
        WireError: they are no msgpack, or hold what is not allowed.
    """
    if not isinstance(data, bytes):
        raise WireError("message", got="text", expected="msgpack in a binary frame")
    try:
        message = msgpack.unpackb(data, object_hook=_unpack_array)
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise WireError("message", got=error or type(error).__name__, expected="msgpack") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise WireError("message", got=type(message).__name__, expected="a map of names")
    return message


def _pack_array(value: object) -> object:
    if isinstance(value, np.ndarray):
        if value.dtype.str not in DTYPES:
            raise WireError("array", got=value.dtype, expected=f"one of {DTYPES}")
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return value.item()
    raise WireError("message", got=type(value).__name__, expected="numbers, text and arrays")


def _unpack_array(value: dict[Any, Any]) -> object:
    if b"__npgeneric__" in value:  # openpi's way with a number of numpy's
        return value.get(b"data")
    if b"__ndarray__" not in value:
        return value
    dtype, shape, data = (value.get(name) for name in (b"dtype", b"shape", b"data"))
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WireError("array dtype", got=repr(dtype)[:40], expected=f"one of {DTYPES}")
    if not isinstance(shape, list | tuple) or len(shape) > MAX_DIMENSIONS:
        raise WireError("array shape", got=repr(shape)[:40], expected=f"{MAX_DIMENSIONS} or less")
    if not all(type(side) is int and 0 <= side < _MAX_NUMBER for side in shape):
        raise WireError("array shape", got=repr(shape)[:80], expected="whole numbers")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not isinstance(data, bytes) or len(data) != size:
        got = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise WireError("array data", got=got, expected=f"{size} bytes")
    return np.frombuffer(data, dtype).reshape(shape)


def observation_to_wire(observation: Observation) -> dict[str, Any]:
    """An observation, in openpi's names where it has them."""
    return {
        "images": dict(observation.images),
        "state": observation.state,
        "prompt": observation.instruction,
        "stamp": observation.stamp,
        "input_stamps": dict(observation.input_stamps),
    }


def observation_from_wire(message: Mapping[str, Any]) -> Observation:
    """Read an observation; ``stamp`` and ``input_stamps`` may be absent.

    Raises:
        WireError: a part is absent, of the wrong kind or size, or not finite.
    """
    images = _get(message, "images", dict)
    for name, image in images.items():
        fits = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
        if not fits or image.shape[2] != 3 or not 0 < min(image.shape) <= max(image.shape):
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image)
            raise WireError(f"image {str(name)[:40]!r}", got=got, expected="uint8 (H, W, 3)")
        if max(image.shape) > MAX_IMAGE_SIDE:
            raise WireError(
                f"image {str(name)[:40]!r}", got=image.shape, expected=f"{MAX_IMAGE_SIDE} px a side"
            )
    return Observation(
        images=images,
        state=_numbers(message, "state", (STATE_SIZE,)).astype(np.float32),
        instruction=_get(message, "prompt", str),
        stamp=_number(message, "stamp", 0.0),
        input_stamps=_stamps(message),
    )


def memory_to_wire(memory: Memory) -> dict[str, Any]:
    """What of a memory a chunk hangs on; what methods store in it stays on the server.

    Of the chunk before its targets, and the layers that ran: a router's hysteresis asks for them.
    """
    previous = memory.previous
    return {
        "seed": memory.seed,
        "sequence": memory.sequence,
        "frozen_until": memory.frozen_until,
        "previous": None
        if previous is None
        else {
            "actions": previous.targets,
            "stamp": previous.stamp,
            "step_dt": previous.step_dt,
            "report": {"layers_run": list(previous.report.layers_run)},
        },
    }


def memory_from_wire(message: Mapping[str, Any]) -> Memory:
    """Read a memory.

    Raises:
        WireError: a part is absent or of the wrong kind.
    """
    memory = Memory(_count(message, "seed"), _count(message, "sequence"))
    if message.get("previous") is not None:
        memory.previous = chunk_from_wire(_get(message, "previous", dict))
    if message.get("frozen_until") is not None:
        memory.frozen_until = _number(message, "frozen_until")
    return memory


def chunk_to_wire(chunk: ActionChunk) -> dict[str, Any]:
    """A chunk; ``actions`` is what openpi's clients look for."""
    return {
        "actions": chunk.targets,
        "stamp": chunk.stamp,
        "step_dt": chunk.step_dt,
        "frame_id": chunk.frame_id,
        "sequence": chunk.sequence,
        "policy_hash": chunk.policy_hash,
        "prompt": chunk.instruction,
        "seed": chunk.seed,
        "input_stamps": dict(chunk.input_stamps),
        "report": asdict(chunk.report),
        "continues": None if chunk.continues is None else asdict(chunk.continues),
    }


def chunk_from_wire(message: Mapping[str, Any]) -> ActionChunk:
    """Read a chunk; all but ``actions``, ``stamp`` and ``step_dt`` may be absent.

    Raises:
        WireError: a part is absent, of the wrong kind or size, or not finite.
    """
    targets = _numbers(message, "actions", (None, TARGET_SIZE)).astype(np.float32)
    if not 0 < len(targets) <= MAX_TARGETS:
        raise WireError("actions", got=len(targets), expected=f"1 to {MAX_TARGETS} targets")
    step_dt = _number(message, "step_dt")
    if not 0.0 < step_dt < 60.0:
        raise WireError("step_dt", got=step_dt, expected="a positive number [s]")
    continues = message.get("continues")
    return ActionChunk(
        targets=targets,
        stamp=_number(message, "stamp"),
        step_dt=step_dt,
        frame_id=_get(message, "frame_id", str, "base_link"),
        sequence=_count(message, "sequence"),
        policy_hash=_get(message, "policy_hash", str, ""),
        instruction=_get(message, "prompt", str, ""),
        seed=_count(message, "seed"),
        input_stamps=_stamps(message),
        report=_report(_get(message, "report", dict, {})),
        continues=None
        if continues is None
        else Continuation(
            *(_number(_get(message, "continues", dict), k) for k in ("previous", "frozen_until"))
        ),
    )


def _report(message: Mapping[str, Any]) -> ComputeReport:
    def pair(name: str) -> tuple[int, int]:
        first, second = (int(n) for n in _get(message, name, list, [0, 0]))
        return first, second

    times = _get(message, "milliseconds", dict, {})
    try:
        return ComputeReport(
            layers_run=tuple(int(layer) for layer in _get(message, "layers_run", list, [])),
            visual_tokens=pair("visual_tokens"),
            head_steps=pair("head_steps"),
            gflops=_number(message, "gflops", 0.0),
            milliseconds={str(name): float(value) for name, value in times.items()},
        )
    except (TypeError, ValueError) as error:
        raise WireError("report", got=error, expected="a compute report") from error


def _get(message: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    value = message.get(name, default)
    if not isinstance(value, kind):
        got = "nothing" if value is None else type(value).__name__
        raise WireError(name, got=got, expected=kind.__name__)
    return value


def _number(message: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = message.get(name, default)
    if type(value) not in (int, float) or not abs(value) < 1e12:  # type: ignore[arg-type]
        raise WireError(name, got=repr(value)[:40], expected="a finite number")
    return float(value)  # type: ignore[arg-type]


def _count(message: Mapping[str, Any], name: str) -> int:
    value = message.get(name, 0)
    if type(value) is not int or not 0 <= value < 2 * _MAX_NUMBER:
        raise WireError(name, got=repr(value)[:40], expected="a whole number from 0 on")
    return value


def _numbers(
    message: Mapping[str, Any], name: str, shape: tuple[int | None, ...]
) -> NDArray[np.floating[Any]]:
    array = _get(message, name, np.ndarray)
    fits = array.ndim == len(shape) and array.dtype.kind == "f"
    if not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        raise WireError(name, got=f"{array.dtype} {array.shape}", expected=f"floats {shape}")
    if not np.isfinite(array).all():
        raise WireError(name, got="a number that is not finite", expected="finite numbers")
    return array


def _stamps(message: Mapping[str, Any]) -> dict[str, float]:
    stamps = _get(message, "input_stamps", dict, {})
    return {str(name): _number(stamps, name) for name in stamps}
