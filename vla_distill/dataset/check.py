"""Looks at every file and number of a dataset, and lists all that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from vla_distill.dataset import layout, video
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.reader import Dataset

GRIPPER_LIMIT = 0.1
REACH_LIMIT = 1.0
"""No command of this arm lies further from its base [m]."""


def check(path: Path, progress: bool = True) -> tuple[list[str], dict[str, Any]]:
    """Check a dataset from end to end, decoding every frame.

    Args:
        path: the dataset's folder.
        progress: show a progress bar.

    Returns:
        What is wrong, nothing if all is well; and a summary of what is there.
    """
    faults: list[str] = []

    def attempt(step: Callable[[], object]) -> None:
        try:
            step()
        except DatasetError as error:
            faults.append(str(error))

    try:
        data = Dataset(path)
        episodes, columns = data.episodes, data.columns
    except DatasetError as error:
        return [str(error)], {}
    attempt(lambda: data.instructions)
    attempt(lambda: _check_statistics(data))
    state, action = columns[layout.STATE], columns[layout.ACTION]
    for name, values in (("state", state), ("action", action)):
        far = np.linalg.norm(values[:, :3], axis=1) > REACH_LIMIT
        wide = (values[:, 6:] < -0.005) | (values[:, 6:] > GRIPPER_LIMIT)
        for what, rows in (("position", far), ("gripper", wide.any(1))):
            if rows.any():
                faults.append(f"{name} {what}: out of range in {rows.sum()} frames")
    frame_index = np.concatenate([np.arange(len(record)) for record in episodes])
    if not np.array_equal(columns["frame_index"], frame_index):
        faults.append("frame_index: does not count from 0 in every episode")
    if len({(r.task, r.seed) for r in episodes if r.seed >= 0}) < sum(
        r.seed >= 0 for r in episodes
    ):
        faults.append("an episode (task and seed) occurs twice")
    files = sorted(
        {
            (camera, record.video_files[layout.video_key(camera)])
            for record in episodes
            for camera in data.cameras
        }
    )
    for camera, position in track(files, "decode", disable=not progress):
        attempt(lambda c=camera, p=position: _check_video(data, c, p))
    tasks = sorted({record.task for record in episodes})
    summary = {
        "episodes": {task: sum(r.task == task for r in episodes) for task in tasks},
        "frames": len(data),
        "cameras": list(data.cameras),
        "image_size": list(data.image_size),
        "fps": data.fps,
        "disturbed": round(float((columns[layout.DISTURBANCE] > 0).mean()), 4),
    }
    return faults, summary


def _check_statistics(data: Dataset) -> None:
    path = data.path / layout.STATISTICS_PATH
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}", got=error, expected="readable JSON") from error
    for key in (layout.STATE, layout.ACTION):
        mean = data.columns[key].mean(0)
        if not np.allclose(noted.get(key, {}).get("mean", np.nan), mean, atol=1e-4):
            raise DatasetError(f"{path}: {key} mean", got=noted.get(key), expected=mean)


def _check_video(data: Dataset, camera: str, position: tuple[int, int]) -> None:
    key = layout.video_key(camera)
    path = data.video_path(camera, position)
    wanted = sum(len(r) for r in data.episodes if r.video_files[key] == position)
    count = 0
    for number, image in video.decode(path, data.fps):
        if number != count or image.shape != (*data.image_size, 3):
            raise DatasetError(f"{path}: frame {count}", got=(number, image.shape), expected=count)
        count += 1
    if count < wanted:
        raise DatasetError(f"{path}: frames", got=count, expected=wanted)
