"""The samples to choose from: which frames, of which task and phase, and which are held out.

The paper does not say what its "test" gradient is taken on. Here it is a held-out part of the
training data, whole episodes, the same share of each task; never the evaluation's seeds. Samples
are chosen from the rest, and a ratio counts against all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import FrameStore, layout
from vla_distill.dataset.source import open_frames
from vla_distill.ftncfm.errors import DataDistillationError

PHASES = ("travel", "contact", "carry", "settle")
"""What the arm does in a chunk: moves open, opens or closes, moves closed, keeps still open."""
OPENING_CHANGE = 0.02
"""Of the gripper within a chunk that counts as contact [m]."""
CLOSED = 0.04
"""Openings below are closed [m]."""
STILL = 0.02
"""Ways within a chunk below are still [m]."""
BLOCK = 4096
"""Frames whose chunks are looked at together."""


@dataclass(frozen=True)
class Pool:
    """Frames to choose from.

    Attributes:
        frames: all of the dataset.
        seeds: of the episodes; -1 where there is none. Shape (E,), int64.
        rows: frames that may be chosen, rising. Shape (M,), int64.
        held_out: frames of held-out episodes. Shape (H,), int64.
        reference: some of them, for what "helps" means. Shape (R,), int64.
    """

    frames: FrameStore
    seeds: NDArray[np.int64]
    rows: NDArray[np.int64]
    held_out: NDArray[np.int64]
    reference: NDArray[np.int64]

    @property
    def tasks(self) -> list[str]:
        """Names, sorted."""
        return sorted(
            {self.frames.tasks[e] for e in np.unique(self.frames.episode_index[self.rows])}
        )

    @cached_property
    def task(self) -> NDArray[np.int64]:
        """Index into ``tasks`` of each of ``rows``. Shape (M,)."""
        number = {name: index for index, name in enumerate(self.tasks)}
        of_episode = np.array([number.get(name, -1) for name in self.frames.tasks])
        return of_episode[self.frames.episode_index[self.rows]]

    @cached_property
    def phase(self) -> NDArray[np.int64]:
        """Index into PHASES of each of ``rows``. Shape (M,)."""
        parts = [
            phases(self.frames.chunks(self.rows[at : at + BLOCK], layout.HORIZON))
            for at in range(0, len(self.rows), BLOCK)
        ]
        return np.concatenate(parts)

    @property
    def group(self) -> NDArray[np.int64]:
        """Task and phase together, as one number. Shape (M,)."""
        return self.task * len(PHASES) + self.phase

    def budget(self, ratio: float, unit: str = "frames") -> int:
        """How many frames, or episodes, a ratio of all, the held-out ones among them, is.

        Raises:
            DataDistillationError: not in (0, 1], more than there is, or less than one a task.
        """
        own, held = self.rows, self.held_out
        if unit == "episodes":
            own, held = (np.unique(self.frames.episode_index[rows]) for rows in (own, held))
        total = len(own) + len(held)
        count = round(ratio * total) if 0.0 < ratio <= 1.0 else -1
        least, most = len(np.unique(self.task)), len(own)
        if not least <= count <= most:
            raise DataDistillationError(
                "ratio",
                got=f"{ratio:g}, {max(count, 0)} of {total} {unit}",
                expected=f"{least / total:.2g} to {most / total:.2g}:"
                f" at least one for each of the {least} tasks, and none that is held out",
            )
        return count


def open_pool(
    data: str | Path,
    tasks: Sequence[str] = (),
    held_out: float = 0.05,
    most: int = 512,
    seed: int = 0,
) -> Pool:
    """Open a dataset and split it.

    Args:
        data: its folder.
        tasks: only these; all if empty.
        held_out: share of each task's episodes that is held out, at least one. A task with a
            single episode holds none out: what helps it is judged by the other tasks' gradient.
        most: reference frames, spread evenly over the held-out ones.
        seed: of the draw.

    Raises:
        DatasetError: a file is missing or damaged; it is named.
        DataDistillationError: a task that is not there, or no task has two episodes.
    """
    frames, seeds = open_frames([data])
    rng = np.random.default_rng([seed, 7])
    of_episode, known = np.array(frames.tasks), sorted(set(frames.tasks))
    if unknown := sorted(set(tasks) - set(known)):
        raise DataDistillationError(f"{data}: tasks", got=unknown, expected=known)
    held: list[NDArray[np.int64]] = []
    for name in sorted(set(tasks)) or known:
        own = rng.permutation(np.flatnonzero(of_episode == name))
        held.append(own[: max(round(held_out * len(own)), 1)] if len(own) > 1 else own[:0])
    wanted = np.isin(of_episode, sorted(tasks) or known)[frames.episode_index]
    is_held = np.isin(frames.episode_index, np.concatenate(held))
    reference = np.flatnonzero(is_held)
    if not len(reference):
        raise DataDistillationError(
            f"{data}", got="one episode of each task", expected="two of one, to hold one out"
        )
    picks = np.linspace(0, len(reference) - 1, min(most, len(reference))).round().astype(int)
    rows = np.flatnonzero(wanted & ~is_held)
    return Pool(frames, seeds, rows, reference, reference[picks])


def phases(chunks: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index into PHASES of chunks (B, T, 7) [m, rad], from the commands alone. Shape (B,)."""
    opening, position = chunks[:, :, 6], chunks[:, :, :3]
    way = np.linalg.norm(position - position[:, :1], axis=2).max(1)
    changes = np.ptp(opening, axis=1) > OPENING_CHANGE
    names = np.select(
        [changes, opening.mean(1) < CLOSED, way > STILL], ["contact", "carry", "travel"], "settle"
    )
    return np.array([PHASES.index(str(name)) for name in names])
