"""Checks of a dataset's videos: every frame decodes, is of its episode, and stands at its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import layout, statistics, table, video
from vla_distill.dataset.episode import EpisodeRecord
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.reader import Dataset

COLOUR_TOLERANCE = 0.03
"""Between the mean colour of an episode's pictures and the one noted for it, of 1."""

Position = tuple[int, int]


def video_files(data: Dataset) -> list[tuple[str, Position]]:
    """Every video file: camera, and chunk and file index."""
    return sorted(
        {
            (camera, record.video_files[layout.video_key(camera)])
            for record in data.episodes
            for camera in data.cameras
        }
    )


def noted_colours(data: Dataset) -> dict[str, NDArray[np.float64]]:
    """Mean colour of each episode by camera, as ``meta/episodes`` notes it.

    Returns:
        Camera to an array of shape (episodes, 3), of 1; empty where a dataset notes none.
    """
    found: dict[str, list[tuple[int, Any]]] = {camera: [] for camera in data.cameras}
    for file in sorted((data.path / "meta" / "episodes").glob("*/*.parquet")):
        content = table.read(file, ["episode_index"])
        for camera in data.cameras:
            name = f"stats/{layout.video_key(camera)}/mean"
            if name in content.column_names:
                rows = zip(content["episode_index"].to_pylist(), content[name].to_pylist())
                found[camera] += rows
    colours: dict[str, NDArray[np.float64]] = {}
    for camera, rows in found.items():
        try:
            means = np.array([np.ravel(mean) for _, mean in sorted(rows)], np.float64)
        except (TypeError, ValueError):
            continue
        if means.shape == (len(data.episodes), 3):
            colours[camera] = means
    return colours


def check_video(
    data: Dataset, camera: str, position: Position, colours: NDArray[np.float64] | None
) -> None:
    """Check one file, decoding every frame.

    Args:
        data: the dataset.
        camera: name of the camera.
        position: chunk and file index.
        colours: mean colour of each episode. Shape (episodes, 3), of 1; None: not noted.

    Raises:
        DatasetError: the file is missing, damaged, of another size, rate or length than the dataset
            says, or an episode's pictures are not those it was recorded with.
    """
    key, path = layout.video_key(camera), data.video_path(camera, position)
    records = [r for r in data.episodes if r.video_files[key] == position]
    _check_rate(path, data.fps)
    _check_starts(data, key, records)
    wanted = sum(map(len, records))
    images: list[NDArray[np.uint8]] = []
    strange: DatasetError | None = None
    waiting, count = iter(records), 0
    record = next(waiting)
    for number, image in video.decode(path, data.fps):
        if number != count:
            raise DatasetError(f"{path}: number of a frame", got=number, expected=count)
        if image.shape != (*data.image_size, 3):
            raise DatasetError(
                f"{path}: size of frame {count}", got=image.shape, expected=(*data.image_size, 3)
            )
        count += 1
        if count > wanted:
            continue
        images.append(image)
        if len(images) == len(record):
            if colours is not None and strange is None:
                strange = _colour_fault(path, record, np.stack(images), colours[record.index])
            images, record = [], next(waiting, record)
    if count != wanted:
        raise DatasetError(
            f"{path}: frames", got=count, expected=f"{wanted}, as meta/episodes says"
        )
    if strange is not None:  # last, because frames that are missing shift all that follow
        raise strange


def _check_rate(path: Path, fps: float) -> None:
    with video.open_video(path) as container:
        rate = container.streams.video[0].average_rate
    if rate is None or abs(float(rate) / fps - 1.0) > 0.01:
        got = "none" if rate is None else f"{float(rate):g}"
        raise DatasetError(f"{path}: frames a second", got=got, expected=f"{fps:g}")


def _check_starts(data: Dataset, key: str, records: Sequence[EpisodeRecord]) -> None:
    """The episodes of a file follow one another in it."""
    first = 0
    for record in records:
        start = record.video_starts[key]
        if abs(start * data.fps - first) > 0.01:
            raise DatasetError(
                f"{data.path}/meta/episodes: videos/{key}/from_timestamp of episode {record.index}",
                got=f"{start:g} s",
                expected=f"{first / data.fps:g} s, where the episode before it ends",
            )
        first += len(record)


def _colour_fault(
    path: Path, record: EpisodeRecord, images: NDArray[np.uint8], noted: NDArray[np.float64]
) -> DatasetError | None:
    """Pictures of another episode, or none at all, have other colours than were noted."""
    mean = np.ravel(statistics.of_images(images)["mean"])
    if np.abs(mean - noted).max() <= COLOUR_TOLERANCE:
        return None
    return DatasetError(
        f"{path}: mean colour of episode {record.index}",
        got=mean.round(3).tolist(),
        expected=f"{noted.round(3).tolist()}, as meta/episodes says",
    )
