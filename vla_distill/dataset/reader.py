"""Reads a LeRobot v3.0 dataset: what is in it, single episodes, a stream, and the frame cache."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import layout, table, video
from vla_distill.dataset.episode import EpisodeFrames, EpisodeRecord
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.info import cameras, read_info
from vla_distill.dataset.store import FrameStore, build_store, open_store

HASH_BLOCK = 1 << 22


class Dataset:
    """A finished dataset.

    Args:
        path: the dataset's folder.

    Raises:
        DatasetError: the folder is no finished dataset, of another version, or not of this arm.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info = read_info(self.path)
        self.fps = float(self.info["fps"])
        self.cameras = cameras(self.info)
        height, width = self.info["features"][layout.video_key(self.cameras[0])]["shape"][:2]
        self.image_size: tuple[int, int] = (height, width)

    def __len__(self) -> int:
        return int(self.info["total_frames"])

    @property
    def robot(self) -> str:
        """What the dataset is about: our arm, or a Gymnasium environment."""
        return str(self.info.get("robot_type") or layout.ROBOT_TYPE)

    @property
    def is_gymnasium(self) -> bool:
        """Whether it was collected in a Gymnasium environment."""
        return self.robot.startswith(layout.GYMNASIUM_PREFIX)

    @cached_property
    def collected(self) -> bool:
        """Whether ``vla collect`` made it, which keeps an episode only if it succeeded."""
        try:
            made = json.loads((self.path / layout.COLLECTION_PATH).read_text(encoding="utf-8"))
            return bool({"suite", "env"} & set(made["collection"]))
        except (OSError, ValueError, KeyError, TypeError):  # other datasets say other things there
            return False

    @cached_property
    def instructions(self) -> list[str]:
        """The instructions, by instruction index.

        Raises:
            DatasetError: the file is missing, damaged, or its indices are not 0, 1, 2, ...
        """
        path = self.path / layout.TASKS_PATH
        content = table.read(path, ["task_index"])
        names = [name for name in content.column_names if name != "task_index"]
        if len(names) != 1:
            raise DatasetError(f"{path}: columns", got=content.column_names, expected="task")
        numbers = table.integers(content, "task_index", path).tolist()
        pairs = dict(zip(numbers, content[names[0]].to_pylist(), strict=True))
        if sorted(pairs) != list(range(len(pairs))):
            raise DatasetError(f"{path}: task_index", got=sorted(pairs), expected="0, 1, 2, ...")
        return [pairs[index] for index in range(len(pairs))]

    @cached_property
    def episodes(self) -> list[EpisodeRecord]:
        """Where each episode lies.

        Raises:
            DatasetError: a file is missing or damaged, or the episodes do not follow one another.
        """
        folder = self.path / "meta" / "episodes"
        files = sorted(folder.glob("*/*.parquet"))
        if not files:
            raise DatasetError(f"{folder}", got="no parquet file", expected="at least one")
        keys = [layout.video_key(camera) for camera in self.cameras]
        names = ["episode_index", "tasks", "dataset_from_index", "dataset_to_index"]
        names += ["data/chunk_index", "data/file_index"]
        for key in keys:
            names += [f"videos/{key}/{n}" for n in ("chunk_index", "file_index", "from_timestamp")]
        rows: list[dict[str, Any]] = []
        for file in files:
            content = table.read(file, names)
            for name in names:
                if name.endswith("_index"):
                    table.integers(content, name, file)
            extra = [n for n in ("suite_task", "seed", "noise") if n in content.column_names]
            rows += content.select([*names, *extra]).to_pylist()
        rows.sort(key=lambda row: row["episode_index"])
        for position, row in enumerate(rows):
            if row["episode_index"] != position:
                raise DatasetError(
                    f"{folder}: episode_index", got=row["episode_index"], expected=position
                )
        records = [_record(row, keys, folder) for row in rows]
        starts = [0, *(record.stop for record in records)]
        for record, start in zip(records, starts[:-1], strict=True):
            if record.start != start or record.stop <= start:
                raise DatasetError(
                    f"{folder}: frames of episode {record.index}",
                    got=f"{record.start} to {record.stop}",
                    expected=f"{start} to more",
                )
        if len(records) != self.info["total_episodes"] or starts[-1] != len(self):
            raise DatasetError(
                f"{folder}: episodes and frames",
                got=(len(records), starts[-1]),
                expected=(self.info["total_episodes"], len(self)),
            )
        return records

    def data_path(self, record: EpisodeRecord) -> Path:
        """Parquet file of an episode."""
        chunk, number = record.data_file
        return self.path / self.info["data_path"].format(chunk_index=chunk, file_index=number)

    def video_path(self, camera: str, position: tuple[int, int]) -> Path:
        """Video file of a camera, by chunk and file index."""
        return self.path / self.info["video_path"].format(
            video_key=layout.video_key(camera), chunk_index=position[0], file_index=position[1]
        )

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All data columns, in order of frames: float32 (N, n) and int64 (N,).

        Raises:
            DatasetError: a file is missing or damaged, lacks a column, holds numbers that are not
                finite, or its rows do not fit the episode table.
        """
        files = sorted({self.data_path(record) for record in self.episodes})
        names = ["frame_index", "episode_index", "index", "task_index"]
        known = layout.VECTORS | layout.DISTILLED
        vectors = [key for key in known if key in self.info["features"]]
        found: dict[str, list[NDArray[Any]]] = {}
        for file in files:
            content = table.read(file, [*names, *vectors])
            for key in vectors:
                values = table.matrix(content, key, len(known[key]), file)
                found.setdefault(key, []).append(values)
            for key in names:
                found.setdefault(key, []).append(table.integers(content, key, file))
            levels = np.zeros(len(content), np.int64)
            if layout.DISTURBANCE in content.column_names:
                levels = table.integers(content, layout.DISTURBANCE, file)
            found.setdefault(layout.DISTURBANCE, []).append(levels)
            owned = [record for record in self.episodes if self.data_path(record) == file]
            _check_rows(file, found["index"][-1], found["episode_index"][-1], owned)
        columns = {key: np.concatenate(parts) for key, parts in found.items()}
        order = np.argsort(columns["index"], kind="stable")
        columns = {key: values[order] for key, values in columns.items()}
        if layout.KEYPOINTS not in columns:
            columns[layout.KEYPOINTS] = np.full((len(self), 6), np.nan, np.float32)
        return columns

    def episode(self, index: int) -> EpisodeFrames:
        """Read one episode.

        Raises:
            DatasetError: no such episode, or a file is missing or damaged.
        """
        if not 0 <= index < len(self.episodes):
            raise DatasetError(
                f"{self.path}: episode", got=index, expected=f"0 to {len(self.episodes) - 1}"
            )
        record = self.episodes[index]
        rows = slice(record.start, record.stop)
        images: dict[str, NDArray[np.uint8]] = {}
        for camera in self.cameras:
            key = layout.video_key(camera)
            path = self.video_path(camera, record.video_files[key])
            first = round(record.video_starts[key] * self.fps)
            frames = [image for _, image in video.decode(path, self.fps, first, len(record))]
            if len(frames) != len(record) or frames[0].shape != (*self.image_size, 3):
                raise DatasetError(
                    f"{path}: frames of episode {index}",
                    got=f"{len(frames)} of {frames[0].shape if frames else ()}",
                    expected=f"{len(record)} of {(*self.image_size, 3)}",
                )
            images[camera] = np.stack(frames)
        return EpisodeFrames(
            images=images,
            state=self.columns[layout.STATE][rows],
            action=self.columns[layout.ACTION][rows],
            keypoints=self.columns[layout.KEYPOINTS][rows],
            disturbance=self.columns[layout.DISTURBANCE][rows],
            instruction=record.instruction,
            task=record.task,
            seed=record.seed,
            noise=record.noise,
        )

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over all files of the dataset, by name and content."""
        digest = hashlib.sha256()
        for folder in ("meta", "data", "videos"):
            for file in sorted((self.path / folder).rglob("*")):
                if not file.is_file():
                    continue
                digest.update(file.relative_to(self.path).as_posix().encode())
                with file.open("rb") as stream:
                    while block := stream.read(HASH_BLOCK):
                        digest.update(block)
        return digest.hexdigest()

    def cache(self, progress: bool = True) -> FrameStore:
        """All frames, decoded once into memory-mapped files beside the dataset.

        Args:
            progress: show a progress bar while decoding.

        Raises:
            DatasetError: a file of the dataset is missing or damaged.
        """
        _ = self.columns, self.instructions  # complain before the long work, not after
        folder = self.path / ".cache" / f"frames-{self.content_hash[:16]}"
        if not folder.is_dir():
            build_store(self, folder, progress)
        return open_store(self, folder)


def _check_rows(
    file: Path,
    index: NDArray[np.int64],
    owner: NDArray[np.int64],
    records: list[EpisodeRecord],
) -> None:
    """Hold the rows of a data file against the episodes that lie in it.

    Raises:
        DatasetError: a row is missing, too many, or of another episode.
    """
    wanted = np.concatenate([np.arange(record.start, record.stop) for record in records])
    owners = np.concatenate([np.full(len(record), record.index) for record in records])
    for key, got, expected in (("index", index, wanted), ("episode_index", owner, owners)):
        common = min(len(got), len(expected))
        wrong = np.flatnonzero(got[:common] != expected[:common])
        if wrong.size:
            row = wrong[0]
            raise DatasetError(
                f"{file}: {key} in row {row}",
                got=got[row],
                expected=f"{expected[row]}, as meta/episodes says",
            )
        if len(got) != len(expected):
            raise DatasetError(
                f"{file}: rows", got=len(got), expected=f"{len(expected)}, as meta/episodes says"
            )


def _record(row: dict[str, Any], keys: list[str], folder: Path) -> EpisodeRecord:
    where = f"{folder}: episode {row['episode_index']}"
    tasks = row["tasks"]
    if not isinstance(tasks, list) or not tasks or not isinstance(tasks[0], str):
        raise DatasetError(f"{where}: tasks", got=tasks, expected="a list of one instruction")
    starts = {key: row[f"videos/{key}/from_timestamp"] for key in keys}
    for key, start in starts.items():
        if not isinstance(start, float | int) or not np.isfinite(start) or start < 0:
            raise DatasetError(
                f"{where}: videos/{key}/from_timestamp", got=start, expected="seconds, 0 or more"
            )
    return EpisodeRecord(
        index=row["episode_index"],
        task=row.get("suite_task") or tasks[0],
        instruction=tasks[0],
        seed=-1 if row.get("seed") is None else row["seed"],
        noise=row.get("noise") or "none",
        start=row["dataset_from_index"],
        stop=row["dataset_to_index"],
        data_file=(row["data/chunk_index"], row["data/file_index"]),
        video_files={
            key: (row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"]) for key in keys
        },
        video_starts=starts,
    )
