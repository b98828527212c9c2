"""The newest image of each camera, kept as bytes until somebody wants to see it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from vla_policy.errors import PolicyError
from vla_policy_node.clock import Arrival

_LITTLE_ENDIAN = 1
_HEADER_BYTES = 12


def raw_stamp(raw: bytes) -> float:
    """Return the header stamp [s] of a serialised message that begins with a ``std_msgs/Header``.

    CDR: 2 bytes that name the byte order, 2 of options, then the stamp's seconds and nanoseconds.
    """
    if len(raw) < _HEADER_BYTES:
        raise PolicyError("serialised message", got=f"{len(raw)} bytes", expected="a header")
    order = "<" if raw[1] & _LITTLE_ENDIAN else ">"
    sec, nanosec = struct.unpack_from(order + "iI", raw, 4)
    return sec + nanosec * 1e-9


class Camera:
    """One camera's inbox.

    Args:
        name: name of the camera.
        decode: bytes -> ``Image`` or ``CompressedImage``.
    """

    def __init__(self, name: str, decode: Callable[[bytes], Any]) -> None:
        self.name, self._decode = name, decode
        self._raw: bytes | None = None
        self.arrival = Arrival()

    def put(self, raw: bytes) -> None:
        """Take the newest message; older ones are dropped unseen."""
        self._raw = raw
        self.arrival.mark(raw_stamp(raw))

    def forget(self) -> None:
        """Be as if no image ever came."""
        self._raw = None
        self.arrival.forget()

    def message(self) -> Any:
        """Return the newest message, decoded.

        Raises:
            PolicyError: there is none, or its bytes are no message of its type.
        """
        if self._raw is None:
            raise PolicyError(f"camera {self.name!r}", got="no image", expected="an image")
        try:
            return self._decode(self._raw)
        except Exception as error:  # the middleware has no class of its own for this
            raise PolicyError(
                f"camera {self.name!r}", got=f"broken bytes ({error})", expected="an image message"
            ) from error


class Cameras:
    """The cameras that a policy needs.

    Args:
        cameras: their inboxes.
        timeout: age above which an image is stale [s].
        period: time between images [s].
    """

    def __init__(self, cameras: Sequence[Camera], timeout: float, period: float) -> None:
        self._cameras = {camera.name: camera for camera in cameras}
        self.timeout, self._period = timeout, period

    def trouble(self, now: float) -> str:
        """Say which camera is silent or stale at a time [s]; empty if none is."""
        for name, camera in self._cameras.items():
            if camera.arrival.stamp is None:
                return f"camera {name}: no image yet"
            age, silence = camera.arrival.age(now), camera.arrival.silence()
            if age > self.timeout:
                return f"camera {name}: image is {age:.2f} s old, limit {self.timeout} s"
            if silence > self.timeout:
                return f"camera {name}: silent for {silence:.2f} s, limit {self.timeout} s"
        return ""

    def current(self, now: float) -> bool:
        """Whether every camera's image is there that must have been taken by a time [s]."""
        oldest = now - self._period + 1e-6
        return all(
            camera.arrival.stamp is not None and oldest < camera.arrival.stamp <= now + 1e-6
            for camera in self._cameras.values()
        )

    def messages(self) -> dict[str, Any]:
        """Return the newest message of each camera, decoded; see :meth:`Camera.message`."""
        return {name: camera.message() for name, camera in self._cameras.items()}
