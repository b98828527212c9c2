"""Messages to an :class:`~vla_policy.contract.Observation`: images, and where the arm was then.

The live node and the offline tools call the same functions, and so see the same observation, bit
for bit. A message is anything with the right attributes; no ROS is imported here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_policy.contract import STATE_SIZE, Observation, validate_instruction
from vla_policy.conversions import (
    pose_from_message,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    seconds,
)
from vla_policy.errors import PolicyError
from vla_policy.image_conversion import to_rgb

STATE_INPUTS = ("ee_state", "ee_state_after")
"""Names of the states among the stamps of an observation's inputs."""


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


@dataclass(frozen=True)
class StateSample:
    """A state at a time, and what it was made of.

    Attributes:
        state: Shape (8,).
        stamps: of the one state used as it is, or of the two that it lies between [s].
    """

    state: NDArray[np.float64]
    stamps: tuple[float, ...]


class StateHistory:
    """The last end-effector states by stamp, to know where the arm was when an image was taken.

    Args:
        tolerance: how far outside the known stamps the nearest state still serves [s].
        capacity: states kept.
    """

    def __init__(self, tolerance: float = 0.1, capacity: int = 200) -> None:
        self._tolerance = tolerance
        self._states: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=capacity)

    def add(self, stamp: float, state: NDArray[np.float64]) -> None:
        """Take a state, Shape (8,), with a stamp [s] not before the last one."""
        if self._states and stamp <= self._states[-1][0]:
            self._states.pop()
        self._states.append((stamp, state))

    def clear(self) -> None:
        """Forget all."""
        self._states.clear()

    def at(self, stamp: float) -> StateSample:
        """Return the state at a time [s], interpolated between the states around it.

        Raises:
            PolicyError: no state is near that time.
        """
        after: tuple[float, NDArray[np.float64]] | None = None
        for time, state in reversed(self._states):
            if time <= stamp:
                if after is None:
                    return self._near(stamp, time, state)
                fraction = (stamp - time) / (after[0] - time)
                return StateSample(interpolate_state(state, after[1], fraction), (time, after[0]))
            after = (time, state)
        if after is None:
            raise PolicyError("ee_state", got="none", expected=f"one at {stamp:.3f} s")
        return self._near(stamp, *after)

    def _near(self, stamp: float, time: float, state: NDArray[np.float64]) -> StateSample:
        if abs(stamp - time) > self._tolerance:
            raise PolicyError(
                "ee_state",
                got=f"nearest at {time:.3f} s",
                expected=f"within {self._tolerance} s of {stamp:.3f} s",
            )
        return StateSample(state, (time,))


def assemble_observation(
    images: Mapping[str, Any],
    state_at: Callable[[float], StateSample],
    instruction: str,
) -> Observation:
    """Make an observation of the newest messages.

    Args:
        images: camera name -> ``Image`` or ``CompressedImage``.
        state_at: returns the state at a time [s], e.g. :meth:`StateHistory.at`.
        instruction: what to do.

    Returns:
        The observation at the stamp of its oldest image. Its input stamps name each image by its
        camera, the state used ``ee_state``, and a second one, where the image lay between two,
        ``ee_state_after``: what is needed to assemble it again from a recording.

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
    sample = state_at(stamp)
    return Observation(
        images=pixels,
        state=sample.state.astype(np.float32),
        instruction=instruction,
        stamp=stamp,
        input_stamps={**stamps, **dict(zip(STATE_INPUTS, sample.stamps, strict=False))},
    )
