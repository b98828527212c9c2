"""Looks at every file and number of a dataset, and lists all that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import track

from vla_distill.dataset import layout, table_check, video_check
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.reader import Dataset


def check(path: Path, progress: bool = True) -> tuple[list[str], dict[str, Any]]:
    """Check a dataset from end to end, decoding every frame.

    Args:
        path: the dataset's folder.
        progress: show a progress bar.

    Returns:
        What is wrong, with the file, the field and what would be right; nothing if all is well. And
        a summary of what is there; empty if the tables cannot be read.
    """
    faults: list[str] = []

    def attempt(step: Callable[[], object]) -> bool:
        try:
            step()
        except DatasetError as error:
            faults.append(str(error))
            return False
        return True

    try:
        data = Dataset(path)
        _ = data.episodes
    except DatasetError as error:
        return [str(error)], {}
    # Videos can be judged without the rows, so that both are named in one go.
    readable = attempt(lambda: data.columns)
    if readable:
        for step in table_check.CHECKS:
            attempt(lambda s=step: s(data))
    else:
        attempt(lambda: table_check.check_robot(data))
    colours = video_check.noted_colours(data)
    for camera, position in track(
        video_check.video_files(data), "decode", disable=not progress, transient=True
    ):
        attempt(lambda c=camera, p=position: video_check.check_video(data, c, p, colours.get(c)))
    return faults, _summary(data) if readable else {}


def _summary(data: Dataset) -> dict[str, Any]:
    tasks = sorted({record.task for record in data.episodes})
    return {
        "episodes": {task: sum(r.task == task for r in data.episodes) for task in tasks},
        "frames": len(data),
        "cameras": list(data.cameras),
        "image_size": list(data.image_size),
        "fps": data.fps,
        "disturbed": round(float((data.columns[layout.DISTURBANCE] > 0).mean()), 4),
    }
