"""The frame cache: every frame of a dataset as arrays, images memory-mapped."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_distill.dataset import layout, video
from vla_distill.dataset.errors import DatasetError

if TYPE_CHECKING:
    from vla_distill.dataset.reader import Dataset

IMAGES_FILE = "images.npy"
NO_ERROR = np.iinfo(np.int64).max
"""In the place of a frame: there is none."""
PROGRESS_STRIDE = 200
"""Frames between two movements of the progress bar."""


class Images(Protocol):
    """What is asked of an array of images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, cameras, H, W, 3)."""
        ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Those of some frames."""
        ...


@dataclass(frozen=True)
class Chosen:
    """What N chosen frames keep, as their neighbours are not there (``vla distill-data``).

    Attributes:
        chunk: commanded poses and openings that followed. Shape (N, HORIZON, 7), float32 [m, rad].
        weight: how often to draw each, relative. Shape (N,), float32.
        source_frame: number of the frame in the episode that it was taken from. Shape (N,), int64.
        foretold: targets at the chunk's start that continue what was seen. Shape (N,), int64.
    """

    chunk: NDArray[np.float32]
    weight: NDArray[np.float32]
    source_frame: NDArray[np.int64]
    foretold: NDArray[np.int64]

    @classmethod
    def read(cls, columns: Mapping[str, NDArray]) -> Chosen | None:
        """From the columns of a dataset; None where it holds whole episodes."""
        if layout.CHUNK not in columns:
            return None
        weight, source_frame, foretold = columns[layout.SAMPLE].T
        return cls(
            columns[layout.CHUNK].reshape(len(weight), layout.HORIZON, -1),
            weight,
            source_frame.astype(np.int64),
            foretold.astype(np.int64),
        )


@dataclass(frozen=True)
class FrameStore:
    """The N frames of a dataset, in order.

    Attributes:
        images: shape (N, cameras, H, W, 3), uint8, RGB, on disk, read-only.
        state: measured pose, gripper measured and commanded [m, rad]. Shape (N, 8), float32.
        action: commanded pose and gripper due one step later [m, rad]. Shape (N, 7), float32.
        keypoints: target and goal position [m]; NaN where unknown. Shape (N, 6), float32.
        disturbance: 0 where the action was executed, 1 where drift was added, 2 where an injected
            error took its place. Shape (N,), int64.
        episode_index: episode of the frame. Shape (N,), int64.
        frame_index: number of the frame in its episode. Shape (N,), int64.
        instruction_index: into ``instructions``. Shape (N,), int64.
        last_index: last frame of the episode of each frame. Shape (N,), int64.
        error_index: first frame from here on whose action an injected error replaced; NO_ERROR if
            the episode has none. Shape (N,), int64.
        instructions: the instructions.
        tasks: name of the task, by episode.
        cameras: names of the cameras, in the order of ``images``.
        content_hash: identifies the dataset's content.
        chosen: what frames chosen out of episodes keep of what followed; None for whole episodes.
        robot: what the frames are about: our arm, or a Gymnasium environment.
    """

    images: Images
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    disturbance: NDArray[np.int64]
    episode_index: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    instruction_index: NDArray[np.int64]
    last_index: NDArray[np.int64]
    error_index: NDArray[np.int64]
    instructions: list[str]
    tasks: list[str]
    cameras: tuple[str, ...]
    content_hash: str
    chosen: Chosen | None = None
    robot: str = layout.ROBOT_TYPE

    def __len__(self) -> int:
        return len(self.state)

    @property
    def scene_frame(self) -> NDArray[np.int64]:
        """Number of the frame in the episode as it was recorded. Shape (N,)."""
        return self.chosen.source_frame if self.chosen else self.frame_index

    def chunks(self, frames: NDArray[np.int64], horizon: int) -> NDArray[np.float32]:
        """The chunk of each frame: what was commanded from there on; see :meth:`chunk_indices`.

        Args:
            frames: shape (B,).
            horizon: targets of a chunk.

        Returns:
            Shape (B, horizon, 7), float32 [m, rad].

        Raises:
            DatasetError: chosen frames keep fewer targets than that.
        """
        if self.chosen is None:
            return self.action[self.chunk_indices(frames, horizon)]
        kept = self.chosen.chunk.shape[1]
        if horizon > kept:
            raise DatasetError("horizon", got=horizon, expected=f"at most {kept}, as is kept here")
        return self.chosen.chunk[frames, :horizon]

    def chunk_indices(self, frames: NDArray[np.int64], horizon: int) -> NDArray[np.int64]:
        """Frames whose actions make the chunk of each frame; an episode's last action repeats.

        Args:
            frames: shape (B,).
            horizon: targets of a chunk.

        Returns:
            Shape (B, horizon).
        """
        ahead = frames[:, None] + np.arange(horizon)
        return np.minimum(ahead, self.last_index[frames][:, None])

    def chunk_mask(self, frames: NDArray[np.int64], horizon: int) -> NDArray[np.bool_]:
        """Which targets of those chunks continue what the frame's own action begins.

        Once an injected error has moved the arm, later actions answer to it and not to what was
        seen at the frame; nothing could have foretold them.

        Args:
            frames: shape (B,).
            horizon: targets of a chunk.

        Returns:
            Shape (B, horizon). The first target is always good.
        """
        if self.chosen is not None:
            return np.arange(horizon) < self.chosen.foretold[frames, None]
        ahead = frames[:, None] + np.arange(horizon)
        return ahead <= self.error_index[frames][:, None]


def next_error(disturbance: NDArray[np.int64], last_index: NDArray[np.int64]) -> NDArray[np.int64]:
    """First frame of the same episode, from each on, with an injected error; else NO_ERROR."""
    here = np.where(disturbance == layout.ERROR_LEVEL, np.arange(len(disturbance)), NO_ERROR)
    following = np.minimum.accumulate(here[::-1])[::-1]
    return np.where(following <= last_index, following, NO_ERROR)


def open_store(dataset: Dataset, folder: Path) -> FrameStore:
    """Map a store that has been built.

    Raises:
        DatasetError: the image file is damaged or of another shape.
    """
    path = folder / IMAGES_FILE
    expected = (len(dataset), len(dataset.cameras), *dataset.image_size, 3)
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}", got=error, expected="a .npy file; delete it") from error
    if images.shape != expected or images.dtype != np.uint8:
        raise DatasetError(f"{path}", got=images.shape, expected=expected)
    columns = dataset.columns
    last = np.concatenate([np.full(len(r), r.stop - 1) for r in dataset.episodes])
    return FrameStore(
        images=images,
        state=columns[layout.STATE],
        action=columns[layout.ACTION],
        keypoints=columns[layout.KEYPOINTS],
        disturbance=columns[layout.DISTURBANCE],
        episode_index=columns["episode_index"],
        frame_index=columns["frame_index"],
        instruction_index=columns["task_index"],
        last_index=last.astype(np.int64),
        error_index=next_error(columns[layout.DISTURBANCE], last),
        instructions=dataset.instructions,
        tasks=[record.task for record in dataset.episodes],
        cameras=dataset.cameras,
        content_hash=dataset.content_hash,
        chosen=Chosen.read(columns),
        robot=dataset.robot,
    )


def build_store(dataset: Dataset, folder: Path, progress: bool = True) -> None:
    """Decode all videos of a dataset; the folder appears when it is complete.

    Stores of earlier contents of the same dataset are removed. Of several processes, one decodes
    and the others wait for it.

    Raises:
        DatasetError: a video is missing, damaged, or too short; or the folder cannot be written to.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = (folder.parent / ".lock").open("w")
    except OSError as error:
        raise DatasetError(
            f"{folder.parent}, for the decoded frames",
            got=error,
            expected="a folder that can be written to; else train on a copy of the dataset",
        ) from error
    with file as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _build(dataset, folder, progress)


def _build(dataset: Dataset, folder: Path, progress: bool) -> None:
    for left in folder.parent.glob(".*-frames-*"):  # by a killed process; we hold the lock
        shutil.rmtree(left)
    temporary = folder.with_name(f".{os.getpid()}-{folder.name}")
    temporary.mkdir()
    try:
        shape = (len(dataset), len(dataset.cameras), *dataset.image_size, 3)
        images = _allocate(temporary / IMAGES_FILE, shape)
        columns = (TextColumn("decode"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with (
            Progress(*columns, disable=not progress) as bar,
            ThreadPoolExecutor(len(dataset.cameras)) as pool,
        ):
            task = bar.add_task("decode", total=len(dataset) * len(dataset.cameras))
            jobs = [
                pool.submit(_decode_camera, dataset, images, number, lambda n: bar.advance(task, n))
                for number in range(len(dataset.cameras))
            ]
            for job in jobs:
                job.result()
        images.flush()
        for stale in folder.parent.glob("frames-*"):
            shutil.rmtree(stale)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _allocate(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Map a new file that has its place on the disk: a write to a map that finds none kills."""
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise DatasetError(
            f"{path.parent.parent}, for the decoded frames",
            got=error,
            expected=f"{images.nbytes / 2**20:.0f} MiB of free disk",
        ) from error
    return images


def _decode_camera(dataset: Dataset, images: np.ndarray, number: int, advance) -> None:
    """Decode the videos of one camera into its place."""
    camera = dataset.cameras[number]
    key = layout.video_key(camera)
    # frame number in the file -> frame number in the dataset, a file at a time
    places: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for record in dataset.episodes:
        first = round(record.video_starts[key] * dataset.fps)
        file = places[record.video_files[key]]
        file.update({first + i: record.start + i for i in range(len(record))})
    done = 0
    for position, frames in sorted(places.items()):
        path = dataset.video_path(camera, position)
        missing = len(frames)
        for frame, image in video.decode(path, dataset.fps):
            place = frames.get(frame)
            if place is None:
                continue
            if image.shape != images.shape[2:]:
                raise DatasetError(f"{path}: frame", got=image.shape, expected=images.shape[2:])
            images[place, number] = image
            missing -= 1
            done += 1
            if done % PROGRESS_STRIDE == 0:
                advance(PROGRESS_STRIDE)
        if missing:
            raise DatasetError(
                f"{path}: frames", got=len(frames) - missing, expected=f"{len(frames)}"
            )
    advance(done % PROGRESS_STRIDE)
