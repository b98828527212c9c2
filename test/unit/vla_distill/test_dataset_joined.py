"""Several datasets read as one: every row is the row of the dataset that it comes from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_distill.dataset import DatasetError, FrameStore, joined
from vla_distill.dataset.store import next_error


def store(episodes: int, length: int, seed: int) -> FrameStore:
    """Random frames, with an injected error in every other episode."""
    rng = np.random.default_rng(seed)
    count = episodes * length
    episode = np.repeat(np.arange(episodes), length)
    last = (episode + 1) * length - 1
    disturbance = np.where((np.arange(count) % (2 * length)) == 2, 2, 0)
    return FrameStore(
        images=rng.integers(0, 255, (count, 2, 4, 4, 3), np.uint8),
        state=rng.normal(size=(count, 8)).astype(np.float32),
        action=rng.normal(size=(count, 7)).astype(np.float32),
        keypoints=rng.normal(size=(count, 6)).astype(np.float32),
        disturbance=disturbance,
        episode_index=episode,
        frame_index=np.tile(np.arange(length), episodes),
        instruction_index=episode % 2,
        last_index=last,
        error_index=next_error(disturbance, last),
        instructions=[f"{seed} a", f"{seed} b"],
        tasks=["pick"] * episodes,
        cameras=("front", "wrist"),
        content_hash=str(seed),
    )


def test_rows_chunks_and_masks_are_those_of_the_parts() -> None:
    parts = [store(4, 6, 1), store(3, 5, 2), store(2, 7, 3)]
    whole = joined(parts, ["a", "b", "c"])
    start = 0
    for part in parts:
        own, rows = np.arange(len(part)), start + np.arange(len(part))
        np.testing.assert_array_equal(whole.images[rows], part.images[own])
        for name in ("state", "action", "keypoints", "disturbance", "frame_index"):
            np.testing.assert_array_equal(getattr(whole, name)[rows], getattr(part, name))
        np.testing.assert_array_equal(
            whole.action[whole.chunk_indices(rows, 4)], part.action[part.chunk_indices(own, 4)]
        )
        np.testing.assert_array_equal(whole.chunk_mask(rows, 4), part.chunk_mask(own, 4))
        for row in own:
            assert (
                whole.instructions[whole.instruction_index[start + row]]
                == part.instructions[part.instruction_index[row]]
            )
        start += len(part)
    assert len(np.unique(whole.episode_index)) == len(whole.tasks) == 9
    mixed = np.array([len(whole) - 1, 0, len(parts[0]), 3])
    np.testing.assert_array_equal(whole.images[mixed][2], parts[1].images[[0]][0])
    np.testing.assert_array_equal(whole.images[mixed][0], parts[2].images[[-1]][0])


def test_other_cameras_are_refused_by_name() -> None:
    one = store(1, 3, 1)
    other = replace(one, cameras=("front", "side"))
    with pytest.raises(DatasetError, match=r"second.*side.*as in first"):
        joined([one, other], ["first", "second"])
