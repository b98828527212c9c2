"""Joins episode folders into the few large files of LeRobot v3.0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_distill.dataset import layout, statistics, table, video
from vla_distill.dataset.errors import DatasetError

MEGABYTE = 1024 * 1024
Row = dict[str, Any]


def assemble(
    folders: Sequence[Path],
    path: Path,
    cameras: Sequence[str],
    image_size: tuple[int, int],
    fps: int,
    config: dict[str, Any],
) -> None:
    """Write a whole dataset.

    Args:
        folders: an episode each, as :class:`DatasetWriter` leaves them, in order.
        path: the dataset's folder; must not exist.
        cameras: names of the cameras.
        image_size: height and width [px].
        fps: frames per second.
        config: how the dataset was made.

    Raises:
        DatasetError: an episode's folder is damaged.
    """
    notes = [_read_note(folder) for folder in folders]
    instructions = sorted({note["instruction"] for note in notes})
    task_index = {text: index for index, text in enumerate(instructions)}
    rows = [_row(index, note) for index, note in enumerate(notes)]
    parts = _write_data(folders, notes, rows, path, task_index, fps)
    for camera in cameras:
        _write_videos(folders, rows, path, camera, fps)
    _write_episodes(rows, parts, path)
    table.write(table.tasks_table(instructions), path / layout.TASKS_PATH)
    keys = parts[0].keys()
    stats = {key: statistics.aggregate([part[key] for part in parts]) for key in keys}
    _write_json(stats, path / layout.STATISTICS_PATH)
    _write_json(config, path / layout.COLLECTION_PATH)
    encoding = video.info(*image_size)
    features = layout.features(cameras, image_size, fps, encoding, layout.CHUNK in keys)
    total = rows[-1]["dataset_to_index"]
    robot = config.get("robot", layout.ROBOT_TYPE)
    info = layout.info(features, fps, len(rows), total, len(instructions), robot)
    _write_json(info, path / layout.INFO_PATH)


def _read_note(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "episode.json").read_text())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder}/episode.json", got=error, expected="readable JSON") from error


def _write_json(content: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False))


def _row(index: int, note: dict[str, Any]) -> Row:
    """A row of ``meta/episodes``; where its files are is filled in as they are written."""
    return {
        "episode_index": index,
        "tasks": [note["instruction"]],
        "length": note["length"],
        "suite_task": note["task"],
        "seed": note["seed"],
        "noise": note["noise"],
    }


def _write_data(
    folders: Sequence[Path],
    notes: Sequence[dict[str, Any]],
    rows: list[Row],
    path: Path,
    task_index: dict[str, int],
    fps: int,
) -> list[statistics.Statistics]:
    """Write the data files, a row group an episode; returns the statistics of each episode."""
    parts: list[statistics.Statistics] = []
    writer: pq.ParquetWriter | None = None
    file_number, size, start = 0, 0, 0
    for folder, note, row in zip(folders, notes, rows, strict=True):
        columns = _columns(folder, row["episode_index"], start, note, task_index, fps)
        content = table.frame_table(columns)
        if writer and size + content.nbytes > layout.DATA_FILE_MEGABYTES * MEGABYTE:
            writer.close()
            writer, size, file_number = None, 0, file_number + 1
        chunk, number = layout.file_position(file_number)
        if writer is None:
            target = path / layout.DATA_PATH.format(chunk_index=chunk, file_index=number)
            target.parent.mkdir(parents=True, exist_ok=True)
            writer = pq.ParquetWriter(target, content.schema, compression="snappy")
        writer.write_table(content)
        size += content.nbytes
        row |= {"data/chunk_index": chunk, "data/file_index": number}
        row |= {"dataset_from_index": start, "dataset_to_index": start + note["length"]}
        start += note["length"]
        numbers = ("timestamp", "frame_index", "episode_index", "index", "task_index")
        more = {key: statistics.of_vectors(columns[key]) for key in numbers}
        parts.append(note["statistics"] | more)
    if writer:
        writer.close()
    return parts


def _columns(
    folder: Path,
    index: int,
    start: int,
    note: dict[str, Any],
    task_index: dict[str, int],
    fps: int,
) -> dict[str, NDArray[Any]]:
    """The data columns of one episode."""
    count = note["length"]
    names = (*layout.VECTORS, layout.DISTURBANCE)
    try:
        with np.load(folder / "arrays.npz") as arrays:
            more = [name for name in layout.DISTILLED if name in arrays]
            columns: dict[str, NDArray[Any]] = {name: arrays[name] for name in (*names, *more)}
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder}/arrays.npz", got=error, expected=f"{names}") from error
    number = np.arange(count)
    return columns | {
        "timestamp": (number / fps).astype(np.float32),
        "frame_index": number,
        "episode_index": np.full(count, index),
        "index": start + number,
        "task_index": np.full(count, task_index[note["instruction"]]),
    }


def _write_videos(
    folders: Sequence[Path], rows: list[Row], path: Path, camera: str, fps: int
) -> None:
    """Join one camera's videos into files of bounded size."""
    key = layout.video_key(camera)
    sources = [folder / f"{camera}.mp4" for folder in folders]
    limit = layout.VIDEO_FILE_MEGABYTES * MEGABYTE
    groups: list[list[int]] = [[]]
    size = 0
    for index, source in enumerate(sources):
        bytes_more = source.stat().st_size if source.exists() else 0
        if groups[-1] and size + bytes_more > limit:
            groups.append([])
            size = 0
        groups[-1].append(index)
        size += bytes_more
    for file_number, group in enumerate(groups):
        chunk, number = layout.file_position(file_number)
        target = path / layout.VIDEO_PATH.format(
            video_key=key, chunk_index=chunk, file_index=number
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        counts = video.join([sources[index] for index in group], target, fps)
        first = 0
        for index, count in zip(group, counts, strict=True):
            row = rows[index]
            if count != row["length"]:
                raise DatasetError(f"{sources[index]}: frames", got=count, expected=row["length"])
            row[f"videos/{key}/chunk_index"] = chunk
            row[f"videos/{key}/file_index"] = number
            row[f"videos/{key}/from_timestamp"] = first / fps
            row[f"videos/{key}/to_timestamp"] = (first + count) / fps
            first += count


def _write_episodes(rows: list[Row], parts: list[statistics.Statistics], path: Path) -> None:
    """Write ``meta/episodes``: where each episode is, and its statistics."""
    for row, part in zip(rows, parts, strict=True):
        row |= {
            f"stats/{key}/{name}": value
            for key, values in part.items()
            for name, value in values.items()
        }
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    target = path / layout.EPISODES_PATH.format(chunk_index=0, file_index=0)
    table.write(pa.Table.from_pylist(rows), target)
