"""One demonstration in memory, and what the dataset notes about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import layout
from vla_distill.dataset.errors import DatasetError


@dataclass(frozen=True)
class EpisodeFrames:
    """The frames of one episode, one every ``1 / fps`` seconds.

    Attributes:
        images: camera name -> images. Shape (T, H, W, 3), uint8, RGB.
        state: measured pose in the base frame, gripper opening measured and commanded [m, rad].
            Shape (T, 8), float32.
        action: commanded absolute pose and gripper opening due one step after the frame [m, rad].
            Shape (T, 7), float32.
        keypoints: position of the target and of the goal in the base frame [m]; simulator truth for
            auxiliary losses in training. Shape (T, 6), float32.
        disturbance: 0 where ``action`` was executed, 1 where drift was added, 2 where an injected
            error took its place. Shape (T,), int64.
        instruction: what the arm was told.
        task: name of the task in the suite.
        seed: seed of the scene; (task, seed) identifies the episode.
        noise: what disturbed the episode, ``"none"`` if nothing did.
        chosen: columns of :data:`layout.DISTILLED` where these are frames chosen out of an episode,
            not all of it: what followed each. Shape (T, n), float32.
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    disturbance: NDArray[np.int64]
    instruction: str
    task: str
    seed: int
    noise: str = "none"
    chosen: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.state)

    @property
    def name(self) -> str:
        """Identifies the episode among those of a dataset."""
        return episode_name(self.task, self.seed)

    def validate(self, cameras: Sequence[str], image_size: tuple[int, int]) -> None:
        """Check shapes, types and finiteness.

        Raises:
            DatasetError: no frames, a camera missing or unknown, an array of another shape or type,
                a number that is not finite, or an empty instruction.
        """
        count = len(self)
        where = f"episode {self.name}"
        if count == 0 or not self.instruction.strip():
            raise DatasetError(where, got="no frames or no instruction", expected="both")
        if set(self.images) != set(cameras):
            raise DatasetError(f"{where}: cameras", got=sorted(self.images), expected=list(cameras))
        arrays: list[tuple[str, NDArray, tuple[int, ...], type]] = [
            *((layout.video_key(c), self.images[c], (*image_size, 3), np.uint8) for c in cameras),
            (layout.STATE, self.state, (len(layout.STATE_NAMES),), np.float32),
            (layout.ACTION, self.action, (len(layout.ACTION_NAMES),), np.float32),
            (layout.KEYPOINTS, self.keypoints, (len(layout.KEYPOINT_NAMES),), np.float32),
            (layout.DISTURBANCE, self.disturbance, (), np.int64),
        ]
        for key, values in self.chosen.items():
            arrays.append((key, values, (len(layout.DISTILLED[key]),), np.float32))
        for key, array, shape, dtype in arrays:
            if array.shape != (count, *shape) or array.dtype != dtype:
                raise DatasetError(
                    f"{where}: {key}",
                    got=f"{array.dtype} {array.shape}",
                    expected=f"{np.dtype(dtype)} {(count, *shape)}",
                )
            if array.dtype == np.float32 and not np.isfinite(array).all():
                raise DatasetError(
                    f"{where}: {key}", got="a number that is not finite", expected="finite numbers"
                )


def episode_name(task: str, seed: int) -> str:
    """Name that identifies an episode, e.g. ``pick-1000007``."""
    return f"{task}-{seed:07d}"


@dataclass(frozen=True)
class EpisodeRecord:
    """Where an episode lies in the dataset.

    Attributes:
        index: number of the episode.
        task: name of the task in the suite; the instruction where the dataset names none.
        instruction: what the arm was told.
        seed: seed of the scene, -1 where the dataset names none.
        noise: what disturbed the episode.
        start: index of its first frame in the dataset.
        stop: index after its last frame.
        data_file: chunk and file index of its parquet file.
        video_files: feature key -> chunk and file index.
        video_starts: feature key -> time of its first frame in that file [s].
    """

    index: int
    task: str
    instruction: str
    seed: int
    noise: str
    start: int
    stop: int
    data_file: tuple[int, int]
    video_files: Mapping[str, tuple[int, int]]
    video_starts: Mapping[str, float]

    def __len__(self) -> int:
        return self.stop - self.start
