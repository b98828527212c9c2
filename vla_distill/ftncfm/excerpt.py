"""Chosen frames as a LeRobot dataset that trains like any other.

An episode of it is what was kept of one source episode, in order; ``distilled.sample`` says which
frames those were and how often to draw each, ``distilled.chunk`` what was commanded after each.
Task and seed are the source's, so that training can draw the scene again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import DatasetWriter, EpisodeFrames, layout
from vla_distill.ftncfm.pool import Pool
from vla_sim.constants import STEP_DT


def write_excerpt(
    out: Path,
    pool: Pool,
    rows: NDArray[np.int64],
    weight: NDArray[np.floating],
    seeds: NDArray[np.int64],
    origin: Mapping[str, Any],
    beside: Mapping[str, str],
    chunks: NDArray[np.floating] | None = None,
) -> None:
    """Write the dataset; after a kill it goes on with the episodes that are missing.

    Args:
        out: its folder.
        pool: the source.
        rows: frames to keep. Shape (K,).
        weight: how often to draw each. Shape (K,).
        seeds: of the source's episodes, as they shall be written. Shape (E,).
        origin: what this is made of; kept in ``meta/collection.json``.
        beside: further files beside ``meta``, name -> text.
        chunks: what shall follow each frame instead of what was recorded. Shape (K, T, 7).
    """
    frames = pool.frames
    size = (int(frames.images.shape[2]), int(frames.images.shape[3]))
    fps = round(1 / STEP_DT)
    order = np.argsort(rows)
    rows, weight = rows[order], weight[order]
    chunks = None if chunks is None else chunks[order]
    made = {**origin, "chosen": _digest(rows, weight, chunks)}
    writer = DatasetWriter(out, frames.cameras, size, fps, made, frames.robot)
    kept = np.unique(frames.episode_index[rows])
    for episode in kept:
        task, seed = frames.tasks[episode], int(seeds[episode])
        if not writer.has(task, seed):
            own = frames.episode_index[rows] == episode
            soft = None if chunks is None else chunks[own]
            writer.add_episode(excerpt(pool, rows[own], weight[own], task, seed, soft))
    writer.finish([(frames.tasks[e], int(seeds[e])) for e in kept], beside)


def excerpt(
    pool: Pool,
    rows: NDArray[np.int64],
    weight: NDArray[np.floating],
    task: str,
    seed: int,
    chunks: NDArray[np.floating] | None = None,
) -> EpisodeFrames:
    """Some frames of one episode, with what followed each, or shall follow."""
    frames = pool.frames
    images = np.asarray(frames.images[rows])
    if chunks is None:
        chunks = frames.chunks(rows, layout.HORIZON)
        foretold = frames.chunk_mask(rows, layout.HORIZON).sum(1)
    else:  # what a policy says follows from what it saw
        foretold = np.full(len(rows), layout.HORIZON)
    sample = np.stack([weight, frames.scene_frame[rows], foretold], axis=1)
    return EpisodeFrames(
        images={name: images[:, number] for number, name in enumerate(frames.cameras)},
        state=frames.state[rows],
        action=frames.action[rows],
        keypoints=np.nan_to_num(frames.keypoints[rows]),  # 0 is where nothing is known
        disturbance=frames.disturbance[rows],
        instruction=frames.instructions[int(frames.instruction_index[rows[0]])],
        task=task,
        seed=seed,
        chosen={
            layout.CHUNK: chunks.reshape(len(rows), -1),
            layout.SAMPLE: sample.astype(np.float32),
        },
    )


def _digest(*arrays: NDArray[Any] | None) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def written_seeds(seeds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Seeds, or the episodes' numbers where there are none: task and seed identify an episode."""
    return np.where(seeds < 0, np.arange(len(seeds)), seeds)
