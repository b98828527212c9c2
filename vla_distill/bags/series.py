"""Entries of a bag as rows of numbers: as objects, those of an hour would fill the memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_STAMP_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Entry:
    """A thing with a time.

    Attributes:
        segment: counts the jumps of the clock before it.
        stamp: header stamp [s].
        value: what it is.
    """

    segment: int
    stamp: float
    value: Any


def place_in_time(entry: Entry) -> tuple[int, float]:
    """What entries are ordered by."""
    return entry.segment, entry.stamp


def between(entries: Sequence[Entry], segment: int, start: float, end: float) -> Sequence[Entry]:
    """The entries of a segment from one stamp to another, both included [s], of ordered entries."""
    first = bisect_left(entries, (segment, start - _STAMP_TOLERANCE), key=place_in_time)
    after = bisect_right(entries, (segment, end + _STAMP_TOLERANCE), key=place_in_time)
    return entries[first:after]


class Series(Sequence[Entry]):
    """Entries whose values are rows of numbers; each is made when it is looked at.

    Args:
        width: numbers in a row.
        value: makes the value of such a row. Shape (width,), float64.
    """

    def __init__(self, width: int, value: Callable[[NDArray[np.float64]], Any]) -> None:
        self._width, self._value = width, value
        self._grown = array("d")
        self._rows: NDArray[np.float64] = np.empty((0, 2 + width))

    def append(self, segment: int, stamp: float, row: Sequence[float]) -> None:
        """Add an entry, in any order; :meth:`put_in_order` makes it visible."""
        self._grown.append(segment)
        self._grown.append(stamp)
        self._grown.extend(row)

    def put_in_order(self) -> list[float]:
        """Order by segment and stamp; of equal ones the last stands.

        Returns:
            Stamps of the others [s].
        """
        grown = np.frombuffer(self._grown, np.float64) if self._grown else np.empty(0)
        rows = np.concatenate([self._rows, grown.reshape(-1, 2 + self._width)])
        self._grown = array("d")
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]  # stable
        stands = np.append((rows[1:, :2] != rows[:-1, :2]).any(axis=1), True)[: len(rows)]
        self._rows = rows[stands]
        return rows[~stands, 1].tolist()

    @property
    def stamps(self) -> NDArray[np.float64]:
        """Of all entries [s]."""
        return self._rows[:, 1]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Series: ...
    def __getitem__(self, index: int | slice) -> Entry | Series:
        if isinstance(index, slice):
            part = Series(self._width, self._value)
            part._rows = self._rows[index]
            return part
        row = self._rows[index]
        return Entry(int(row[0]), float(row[1]), self._value(row[2:]))

    def __iter__(self) -> Iterator[Entry]:
        return map(self.__getitem__, range(len(self)))
