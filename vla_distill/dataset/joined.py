"""Several frame caches as one, without copying a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.store import NO_ERROR, Chosen, FrameStore, Images


class JoinedImages:
    """Image arrays one after another; rows are read from where they lie.

    Args:
        parts: arrays of shape (N_i, cameras, H, W, 3).
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at some rows. Shape (B, cameras, H, W, 3)."""
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        part = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(part):
            mine = part == number
            images[mine] = self._parts[number][rows[mine] - self._starts[number]]
        return images


def joined(stores: Sequence[FrameStore], names: Sequence[str]) -> FrameStore:
    """The frames of several datasets, in order, as if of one.

    Args:
        stores: at least one.
        names: what to call them in errors.

    Raises:
        DatasetError: their robots, cameras or image sizes differ, or only some hold chosen frames.
    """
    first = stores[0]
    if len(stores) == 1:
        return first
    for store, name in zip(stores, names, strict=True):
        mine, expected = (
            f"robot {s.robot} with cameras {s.cameras} of {s.images.shape[3]}x{s.images.shape[2]}"
            for s in (store, first)
        )
        if mine != expected:
            raise DatasetError(name, got=mine, expected=f"{expected} as in {names[0]}")
    chosen = _chosen(stores, names)
    frames = np.cumsum([0, *(len(store) for store in stores[:-1])])
    episodes = np.cumsum([0, *(len(store.tasks) for store in stores[:-1])])
    sentences = np.cumsum([0, *(len(store.instructions) for store in stores[:-1])])

    def column(name: str, starts: NDArray[np.int64] | None = None) -> NDArray:
        shifts = np.zeros(len(stores), np.int64) if starts is None else starts
        parts = [getattr(store, name) for store in stores]
        return np.concatenate([p + s if s else p for p, s in zip(parts, shifts, strict=True)])

    shifted = column("error_index", frames)  # wraps round where there is none
    none = column("error_index") == NO_ERROR
    return FrameStore(
        images=JoinedImages([store.images for store in stores]),
        state=column("state"),
        action=column("action"),
        keypoints=column("keypoints"),
        disturbance=column("disturbance"),
        episode_index=column("episode_index", episodes),
        frame_index=column("frame_index"),
        instruction_index=column("instruction_index", sentences),
        last_index=column("last_index", frames),
        error_index=np.where(none, NO_ERROR, shifted),
        instructions=[text for store in stores for text in store.instructions],
        tasks=[task for store in stores for task in store.tasks],
        cameras=first.cameras,
        content_hash="+".join(store.content_hash for store in stores),
        chosen=chosen,
        robot=first.robot,
    )


def _chosen(stores: Sequence[FrameStore], names: Sequence[str]) -> Chosen | None:
    """What chosen frames keep, of all stores."""
    parts = [store.chosen for store in stores if store.chosen is not None]
    if not parts:
        return None
    for store, name in zip(stores, names, strict=True):
        if store.chosen is None:
            raise DatasetError(name, got="whole episodes", expected="chosen frames as the others")
    fields = Chosen.__dataclass_fields__
    return Chosen(**{key: np.concatenate([getattr(p, key) for p in parts]) for key in fields})
