"""Opens whatever can be trained on: LeRobot datasets, whole or of chosen frames, and synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset.joined import joined
from vla_distill.dataset.reader import Dataset
from vla_distill.dataset.store import FrameStore
from vla_distill.dataset.synthetic import is_synthetic, read_synthetic
from vla_distill.dataset.table_check import check_rate


def open_frames(
    folders: Sequence[str | Path], progress: bool = True
) -> tuple[FrameStore, NDArray[np.int64]]:
    """All frames of some datasets, in order, and the seed of each episode's scene.

    The seed is -1 where there is none, or where it is not one of our simulator's.

    Args:
        folders: at least one.
        progress: show a progress bar while films are decoded.

    Raises:
        DatasetError: a folder is no finished dataset or has not a frame a step of a chunk, or they
            do not fit together.
    """
    stores: list[FrameStore] = []
    seeds: list[NDArray[np.int64]] = []
    for folder in folders:
        if is_synthetic(folder):
            store, seed = read_synthetic(folder)
        else:
            dataset = Dataset(folder)
            check_rate(dataset)
            seed = np.array([record.seed for record in dataset.episodes], np.int64)
            if dataset.is_gymnasium:
                seed[:] = -1
            store = dataset.cache(progress)
        stores.append(store)
        seeds.append(seed)
    return joined(stores, [str(folder) for folder in folders]), np.concatenate(seeds)
