"""The messages of a bag's files, one after the other, as far as they can be read.

A rosbag2 folder or a single ``.mcap`` or ``.db3`` file. MCAP is read record by record
(:mod:`vla_distill.bags.mcap_file`), sqlite3 row by row. What rosbag2 compressed by itself,
file by file or message by message, ``rosbags`` unpacks into a temporary file first.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys import TypesysError

from vla_distill.bags.errors import BagError
from vla_distill.bags.fault import FaultList
from vla_distill.bags.mcap_file import NANO, mcap_records, mcap_summary, why
from vla_policy.bag_writer import BagWriter
from vla_policy.message_types import RecordedTypes

_FORMS = {
    "ros2msg": MessageDefinitionFormat.MSG,
    "ros2idl": MessageDefinitionFormat.IDL,
    "omgidl": MessageDefinitionFormat.IDL,
}


@dataclass(frozen=True)
class RawMessage:
    """A message as it lies in the bag.

    Attributes:
        topic: its topic.
        type: e.g. ``sensor_msgs/msg/Image``.
        time: when it was recorded [s].
        data: CDR.
        place: where it lies; :meth:`Storage.fetch` finds it again.
    """

    topic: str
    type: str
    time: float
    data: bytes
    place: tuple[int, int, int]


CHUNKS = 4
"""Chunks of a file that are kept: the cameras are read side by side."""


class Storage:
    """The files of one bag.

    Args:
        path: a folder or a file.

    Attributes:
        types: the definitions that the bag brought; complete when all was read once.
        faults: what could not be read in the last pass.

    Raises:
        BagError: there is nothing, or nothing that is a bag.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.types = RecordedTypes()
        self.faults = FaultList()
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        if _is_compressed(self.path):
            self._unpacked = tempfile.TemporaryDirectory(prefix="bag-")
            self.files = [_unpack(self.path, Path(self._unpacked.name) / "bag.mcap")]
            self._missing: list[str] = []
        else:
            self.files = _files(self.path)
            there = [file.name for file in self.files]
            self._missing = [name for name in _named(self.path) if name not in there]
        self._databases: dict[int, sqlite3.Connection] = {}
        self._open: dict[int, IO[bytes]] = {}
        self._chunks: OrderedDict[tuple[int, int], list[Any]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Read all messages in the order in which they were written.

        Args:
            topics: only these; None takes all.
        """
        self.faults = FaultList()
        for name in self._missing:
            self.faults.add("", None, f"{name} is named in metadata.yaml, but is not there", 0)
        for number, file in enumerate(self.files):
            if file.suffix == ".mcap":
                yield from self._mcap(file, number, topics)
            else:
                yield from self._sqlite(file, number, topics)

    def fetch(self, place: tuple[int, int, int]) -> bytes:
        """Read a message again, from any thread. Cheapest in the order of the file."""
        number, offset, row = place
        with self._lock:
            if offset < 0:
                query = "SELECT data FROM messages WHERE id = ?"
                return self._database(number).execute(query, (row,)).fetchone()[0]
            chunk = self._chunks.pop((number, offset), None)
            self._chunks[number, offset] = chunk = chunk or self._load_chunk(number, offset)
            if len(self._chunks) > CHUNKS:
                self._chunks.popitem(last=False)
            return chunk[row].data

    def close(self) -> None:
        """Let go of the files."""
        for file in self._open.values():
            file.close()
        for base in self._databases.values():
            base.close()
        self._open.clear()
        self._databases.clear()
        self._chunks.clear()
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def _load_chunk(self, number: int, offset: int) -> list[Any]:
        file = self._open.get(number)
        if file is None:
            file = self._open[number] = self.files[number].open("rb")
        file.seek(offset)
        reader = StreamReader(file, skip_magic=True, emit_chunks=True)
        record = next(iter(reader.records))
        return breakup_chunk(record) if isinstance(record, Chunk) else [record]

    def _mcap(
        self, path: Path, number: int, topics: Collection[str] | None
    ) -> Iterator[RawMessage]:
        summary = mcap_summary(path)
        # A lost chunk may have been the one that declared the channels.
        schemas: dict[int, Schema] = dict(summary.schemas) if summary else {}
        known = summary.channels.values() if summary else ()
        channels = {each.id: self._channel(each, schemas) for each in known}
        count = 0
        for at, records in mcap_records(path, summary, self.faults):
            for row, each in enumerate(records):
                if isinstance(each, Schema):
                    schemas[each.id] = each
                elif isinstance(each, Channel):
                    channels[each.id] = self._channel(each, schemas)
                elif isinstance(each, Message):
                    count += 1
                    time, channel = each.log_time * NANO, channels.get(each.channel_id)
                    if channel is None:
                        self.faults.add("", time, "messages of a channel that is not declared")
                        continue
                    topic, kind, readable = channel
                    if not readable:
                        self.faults.add(topic, time, "not in CDR, or without a type")
                    elif topics is None or topic in topics:
                        yield RawMessage(topic, kind, time, each.data, (number, at, row))
        told = summary.statistics.message_count if summary and summary.statistics else count
        if told > count:
            reason = f"of the {told} messages that {path.name} says it holds, {count} could be read"
            self.faults.add("", None, reason, 0)

    def _channel(self, channel: Channel, schemas: dict[int, Schema]) -> tuple[str, str, bool]:
        schema = schemas.get(channel.schema_id)
        if schema is None:
            return channel.topic, "", False
        form = _FORMS.get(schema.encoding, MessageDefinitionFormat.NONE)
        self.types.add(schema.name, schema.data.decode("utf-8", "replace"), form)
        return channel.topic, schema.name, channel.message_encoding == "cdr"

    def _sqlite(
        self, path: Path, number: int, topics: Collection[str] | None
    ) -> Iterator[RawMessage]:
        newest: float | None = None
        try:
            base = self._database(number)
            names = dict(base.execute("SELECT id, name FROM topics"))
            kinds = dict(base.execute("SELECT id, type FROM topics"))
            if base.execute(
                "SELECT 1 FROM sqlite_master WHERE name='message_definitions'"
            ).fetchone():
                rows = "SELECT topic_type, encoding, encoded_message_definition"
                for kind, form, text in base.execute(f"{rows} FROM message_definitions"):
                    self.types.add(kind, text, _FORMS.get(form, MessageDefinitionFormat.NONE))
            query = "SELECT id, topic_id, timestamp, data FROM messages ORDER BY id"
            for row, topic, time, data in base.execute(query):
                if not isinstance(time, int) or not isinstance(data, bytes):
                    self.faults.add("", newest, f"rows of {path.name} that are no message")
                    continue
                stamp = newest = time * NANO
                name = names.get(topic)
                if name is None:
                    self.faults.add("", newest, "messages of a topic that is not declared")
                elif topics is None or name in topics:
                    yield RawMessage(name, kinds[topic], stamp, data, (number, -1, row))
        except sqlite3.Error as error:
            reason = f"{path.name} cannot be read any further: {why(error)}"
            self.faults.add("", newest, reason, 0)

    def _database(self, number: int) -> sqlite3.Connection:
        if number not in self._databases:
            uri = f"{self.files[number].resolve().as_uri()}?mode=ro&immutable=1"
            base = sqlite3.connect(uri, uri=True, check_same_thread=False)
            base.execute("PRAGMA writable_schema=ON")  # or of a file cut off it reads nothing
            self._databases[number] = base
        return self._databases[number]


def _files(path: Path) -> list[Path]:
    if path.is_file() and path.suffix in (".mcap", ".db3"):
        return [path]
    if path.is_dir():
        found = [path / name for name in _named(path) if (path / name).is_file()]
        found = found or sorted(
            (*path.glob("*.mcap"), *path.glob("*.db3")), key=lambda p: (len(p.name), p.name)
        )
        if found:
            return found
    got = "nothing" if not path.exists() else "no .mcap or .db3"
    raise BagError(f"bag {path}", got=got, expected="a rosbag2 folder, a .mcap or a .db3 file")


def _named(path: Path) -> list[str]:
    """The files that a bag's folder should hold, in order; none where nothing says so."""
    return [Path(name).name for name in _metadata(path).get("relative_file_paths") or []]


def _metadata(path: Path) -> dict[str, Any]:
    try:
        text = (path / "metadata.yaml").read_text()
        info = yaml.safe_load(text)["rosbag2_bagfile_information"]
    except (yaml.YAMLError, OSError, KeyError, TypeError, UnicodeDecodeError):
        return {}
    return info if isinstance(info, dict) else {}


def _is_compressed(path: Path) -> bool:
    """Whether rosbag2 compressed files or messages, outside of the storage's own compression."""
    mode = str(_metadata(path).get("compression_mode") or "none").lower()
    return mode in ("file", "message")


def _unpack(path: Path, target: Path) -> Path:
    """Write a bag that rosbag2 compressed as one plain MCAP file."""
    try:
        with Reader(path) as reader, BagWriter(target) as writer:
            for connection, time, data in reader.messages():
                writer.write(connection.topic, connection.msgtype, data, time * NANO)
    except (ReaderError, OSError, TypesysError, KeyError) as error:
        raise BagError(f"bag {path}", got=why(error), expected="a whole compressed bag") from error
    return target
