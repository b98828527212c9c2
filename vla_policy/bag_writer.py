"""Writes a bag: one MCAP file with rosbag2's profile, for ``ros2 bag`` and every other tool."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

from mcap.writer import CompressionType, Writer

from vla_policy.errors import PolicyError
from vla_policy.message_types import message_types

PROFILE = "ros2"
CHUNK_BYTES = 1 << 18
"""What damage to one place of the file can cost, and what a kill can lose [bytes]."""


class BagWriter:
    """An MCAP file. It carries ``.part`` in its name until it is complete.

    Args:
        path: the file, ending in ``.mcap``.
        compress: pack chunks with zstd.
        recorded: what a kill left of a file of this name cannot be made again, so it is kept.

    Raises:
        PolicyError: the name ends otherwise, or the file is there already.
    """

    def __init__(self, path: Path, *, compress: bool = True, recorded: bool = False) -> None:
        self.path = Path(path)
        self.part = self.path.with_suffix(".part.mcap")
        there = self.path.exists() or (recorded and self.part.exists())
        if self.path.suffix != ".mcap" or there:
            got = self.path.name
            if there:
                got = "it exists" if self.path.exists() else f"{self.part.name}, of a killed one"
            raise PolicyError(f"bag {self.path}", got=got, expected="a new name ending in .mcap")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.part.open("wb")
        packing = CompressionType.ZSTD if compress else CompressionType.NONE
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=packing)
        self._writer.start(profile=PROFILE, library="lean_vla")
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self.counts: dict[str, int] = {}

    def write(self, topic: str, kind: str, data: bytes, time: float) -> None:
        """Append a message.

        Args:
            topic: its topic.
            kind: its type, e.g. ``sensor_msgs/msg/Image``; one of :func:`message_types`.
            data: CDR.
            time: when it came [s].
        """
        channel = self._channels.get((topic, kind))
        if channel is None:
            channel = self._channels[topic, kind] = self._declare(topic, kind)
        nanoseconds = max(0, round(time * 1e9))
        self._writer.add_message(channel, nanoseconds, bytes(data), nanoseconds)
        self.counts[topic] = self.counts.get(topic, 0) + 1

    def add(self, topic: str, message: Any, time: float) -> None:
        """Append a message made with :func:`message_types`."""
        kind = message.__msgtype__
        self.write(topic, kind, bytes(message_types().serialize_cdr(message, kind)), time)

    def flush(self) -> None:
        """Hand what is complete to the system, so that a kill of this process does not lose it."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._writer.finish()
        self._file.close()
        os.replace(self.part, self.path)

    def abandon(self) -> None:
        """Remove what was written."""
        self._file.close()
        self.part.unlink(missing_ok=True)

    def _declare(self, topic: str, kind: str) -> int:
        if kind not in self._schemas:
            text, _ = message_types().generate_msgdef(kind, ros_version=2)
            self._schemas[kind] = self._writer.register_schema(kind, "ros2msg", text.encode())
        return self._writer.register_channel(topic, "cdr", self._schemas[kind])

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close() if kind is None else self.abandon()
