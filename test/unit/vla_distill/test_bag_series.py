"""Entries of a bag as rows: what a list of them would hold, in less memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_distill.bags.series import Series, between, place_in_time

ENTRIES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(-9, 9)), max_size=30)


def series(entries: list[tuple[int, int, int]]) -> tuple[Series, list[float]]:
    made = Series(1, lambda row: int(row[0]))
    for segment, stamp, value in entries:
        made.append(segment, 0.1 * stamp, [value])
    return made, made.put_in_order()


@given(ENTRIES)
def test_entries_are_in_order_and_the_last_of_equal_stamps_stands(
    entries: list[tuple[int, int, int]],
) -> None:
    made, doubles = series(entries)
    last = {(segment, 0.1 * stamp): value for segment, stamp, value in entries}
    assert [(place_in_time(entry), entry.value) for entry in made] == sorted(last.items())
    assert len(made) + len(doubles) == len(entries)
    assert set(doubles) <= {0.1 * stamp for _, stamp, _ in entries}
    assert made.stamps.tolist() == [entry.stamp for entry in made]


@given(ENTRIES, st.integers(0, 2), st.integers(0, 6), st.integers(0, 6))
def test_between_is_what_a_look_at_each_entry_finds(
    entries: list[tuple[int, int, int]], segment: int, start: int, end: int
) -> None:
    made, _ = series(entries)
    low, high = 0.1 * start, 0.1 * end
    expected = [e for e in made if e.segment == segment and low <= e.stamp <= high]
    assert list(between(made, segment, low, high)) == expected
    assert list(between(list(made), segment, low, high)) == expected


def test_slices_and_single_entries_are_those_of_a_list() -> None:
    made, _ = series([(0, 3, 1), (0, 1, 2), (1, 0, 3)])
    whole = list(made)
    assert [made[0], made[-1]] == [whole[0], whole[-1]]
    assert list(made[1:]) == whole[1:]
    assert list(reversed(made)) == whole[::-1]
    with pytest.raises(IndexError):
        made[3]


def test_an_entry_takes_no_more_than_its_numbers() -> None:
    count, width = 20_000, 15
    row = np.zeros(width)
    tracemalloc.start()
    made = Series(width, np.asarray)
    for number in range(count):
        made.append(0, 0.02 * number, row)
    made.put_in_order()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == count
    assert size < 1.1 * 8 * (2 + width) * count
