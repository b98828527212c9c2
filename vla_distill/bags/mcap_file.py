"""The records of an MCAP file, one after the other, as far as they can be read.

Record by record, not by the index, so that a file that was cut off gives all that was written, and
a corrupt chunk costs that chunk alone. The index at the file's end, where there is one, helps where
the records do not: it tells where the next chunk begins, and repeats what a lost one declared.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcap.exceptions import EndOfFile, McapError
from mcap.reader import SeekingReader
from mcap.records import Chunk, Message
from mcap.stream_reader import CRCValidationError, StreamReader, breakup_chunk
from mcap.summary import Summary

from vla_distill.bags.fault import FaultList

NANO = 1e-9
RECORD_LIMIT = 1 << 30
"""A record that claims to be larger is taken for damage [bytes]."""
MAGIC = 8
"""Length of what an MCAP file begins and ends with [bytes]."""
_DAMAGE = (McapError, struct.error, EOFError, ValueError, UnicodeDecodeError, OSError)


def mcap_summary(path: Path) -> Summary | None:
    """What the end of the file says is in it; None where that is lost."""
    with path.open("rb") as file:
        try:
            return SeekingReader(file, record_size_limit=RECORD_LIMIT).get_summary()
        except _DAMAGE:
            return None


def mcap_records(
    path: Path, summary: Summary | None, faults: FaultList
) -> Iterator[tuple[int, list[Any]]]:
    """Read a file.

    Args:
        path: the file.
        summary: of :func:`mcap_summary`.
        faults: what is lost is noted here.

    Yields:
        Where it lies [bytes], and a record, or all records of a chunk.
    """
    newest: float | None = None
    start: int | None = 0
    with path.open("rb") as file:
        while start is not None:
            file.seek(start)
            reader = StreamReader(
                file, skip_magic=start > 0, emit_chunks=True, record_size_limit=RECORD_LIMIT
            )
            records = iter(reader.records)
            while True:
                at = start + reader._stream.count
                try:
                    record = next(records)
                except StopIteration:
                    return
                except _DAMAGE as error:
                    start = _next_chunk(summary, at)
                    faults.add("", newest, _loss(path, at, start, error), 0)
                    break
                at, inner = max(at, MAGIC), [record]
                if isinstance(record, Chunk):
                    try:
                        inner = breakup_chunk(record, validate_crc=True)
                    except Exception as error:  # decompressors have errors of their own
                        first, last = (
                            nanoseconds * NANO
                            for nanoseconds in (record.message_start_time, record.message_end_time)
                        )
                        reason = (
                            f"{path.name}: the chunk at byte {at} is corrupt ({why(error)}); "
                            f"its messages from {first:.3f} s to {last:.3f} s are lost"
                        )
                        faults.add("", first, reason, 0)
                        continue
                newest = max(
                    (each.log_time * NANO for each in inner if isinstance(each, Message)),
                    default=newest,
                )
                yield at, inner


def why(error: BaseException) -> str:
    """The reason of a damage in a few words."""
    if isinstance(error, CRCValidationError):
        return "its checksum is wrong"
    # The reader asks for the bytes of numbers without looking whether they are there.
    if isinstance(error, (EndOfFile, struct.error)):
        return "the file ends in the middle of it"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def _next_chunk(summary: Summary | None, at: int) -> int | None:
    indexes = summary.chunk_indexes if summary else []
    later = (each.chunk_start_offset for each in indexes if each.chunk_start_offset > at)
    return min(later, default=None)


def _loss(path: Path, at: int, start: int | None, error: BaseException) -> str:
    size = path.stat().st_size
    if not size:
        return f"{path.name} is empty"
    until = "on" if start is None else f"to byte {start}"
    lost = f"{(size if start is None else start) - at} bytes are lost"
    return f"{path.name} cannot be read from byte {at} {until} ({lost}): {why(error)}"
