"""Episodes of a bag: split by marks, else by instructions, else by segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vla_distill.bags.content import Bag
from vla_distill.bags.errors import BagError
from vla_distill.bags.series import Entry, between

START, END, SUCCESS, FAILURE = range(4)
"""Kinds of ``vla_msgs/EpisodeMark``."""


@dataclass(frozen=True)
class Episode:
    """A part of a bag in which one instruction is followed.

    Attributes:
        index: counts the episodes of the bag.
        segment: of the clock.
        start, end: stamps, both included [s].
        instruction: what the arm was told.
        task: name of the task; empty where none is known.
        seed: seed of the scene; -1 where there is none.
        success: outcome; None where nobody said.
        split_by: ``marks``, ``instructions`` or ``segments``.
    """

    index: int
    segment: int
    start: float
    end: float
    instruction: str
    task: str
    seed: int
    success: bool | None
    split_by: str

    def of(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries within the episode, of ordered ones."""
        return list(between(entries, self.segment, self.start, self.end))


def split(bag: Bag, instruction: str = "") -> list[Episode]:
    """Find the episodes of a bag.

    Marks rule where there is a START: an episode goes from it to END, the next START or the end of
    the bag. Without marks each instruction that is not empty begins one, which goes on to the
    next. Without either, each segment is one, and ``instruction`` must be given. Where the clock
    jumps within an episode, what follows is one of its own.

    Args:
        bag: the bag.
        instruction: what the arm was told, where the bag does not say.

    Raises:
        BagError: no state, or no instruction is known.
    """
    if not bag.states:
        there = "; ".join([", ".join(bag.topics) or "no topics", *map(str, bag.faults[:4])])
        raise BagError(
            f"bag {bag.storage.path}",
            got=f"no state of the arm ({there})",
            expected="ee_state, or a mapping that names its topic",
        )
    first = {entry.segment: entry.stamp for entry in reversed(bag.states)}
    ends = {entry.segment: entry.stamp for entry in bag.states}

    def parts(begin: Entry, following: Entry | None) -> Iterator[tuple[int, float, float]]:
        for segment, end in ends.items():
            until = (segment, end) if following is None else (following.segment, following.stamp)
            if begin.segment <= segment <= until[0]:
                start = begin.stamp if segment == begin.segment else first[segment]
                yield segment, start, until[1] if segment == until[0] else end

    spans: list[tuple[int, float, float, str, str, int, str]] = []
    marks = [m for m in bag.marks if m.value.kind in (START, END)]
    if any(m.value.kind == START for m in marks):
        for here, following in zip(marks, [*marks[1:], None], strict=True):
            if here.value.kind != START:
                continue
            text = here.value.instruction or _told(bag, here) or instruction
            rest = text, here.value.task, here.value.seed, "marks"
            spans += [(*part, *rest) for part in parts(here, following)]
    elif any(e.value.strip() for e in bag.instructions):
        told = bag.instructions
        for here, following in zip(told, [*told[1:], None], strict=True):
            if here.value.strip():
                rest = here.value, "", -1, "instructions"
                spans += [(*part, *rest) for part in parts(here, following)]
    else:
        for segment, end in ends.items():
            known = [c.value.chunk.instruction for c in bag.chunks if c.segment == segment]
            text = instruction or (known[0] if known else "")
            spans.append((segment, first[segment], end, text, "", -1, "segments"))
    return [_episode(bag, index, span) for index, span in enumerate(spans)]


def _episode(bag: Bag, index: int, span: tuple[int, float, float, str, str, int, str]) -> Episode:
    segment, start, end, text, task, seed, by = span
    first = next((e.stamp for e in bag.states if e.segment == segment), start)
    episode = Episode(index, segment, max(start, first), end, text, task, seed, None, by)
    judged = episode.of(bag.judgements)
    outcome: bool | None = None
    if judged:
        outcome = any(e.value.success for e in judged)
        if not task:
            episode = Episode(
                index, segment, episode.start, end, text or judged[0].value.instruction,
                judged[0].value.task, judged[0].value.seed, None, by,
            )  # fmt: skip
    for mark in episode.of(bag.marks):
        if mark.value.kind in (SUCCESS, FAILURE):
            outcome = mark.value.kind == SUCCESS
    if not episode.instruction.strip():
        raise BagError(
            f"bag {bag.storage.path}: episode {index}",
            got="no instruction in marks or on a topic",
            expected="one, e.g. --instruction 'pick up the red cube'",
        )
    return Episode(
        index, segment, episode.start, end, episode.instruction, episode.task, episode.seed,
        outcome, by,
    )  # fmt: skip


def _told(bag: Bag, mark: Entry) -> str:
    """The newest instruction at a mark."""
    before = [e for e in bag.instructions if (e.segment, e.stamp) <= (mark.segment, mark.stamp)]
    return before[-1].value if before else ""
