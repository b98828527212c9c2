"""One HTML page, complete in itself, that shows a dataset: its spread, and a sample of episodes."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from vla_distill.dataset import Dataset, EpisodeFrames, EpisodeRecord, layout
from vla_distill.report import dataset_charts
from vla_distill.report.page import jpeg, render
from vla_distill.report.video import Image, VideoWriter, beside

CLIP_HEIGHT = 240
"""Of a clip [px]."""


def write_dataset_page(
    data: Dataset, path: Path, episodes: int = 12, progress: bool = True
) -> list[int]:
    """Write the page; it appears under its name only when it is complete.

    Args:
        data: the dataset.
        path: the HTML file.
        episodes: how many to show.
        progress: show a progress bar.

    Returns:
        Numbers of the episodes shown.

    Raises:
        DatasetError: a file of the dataset is missing or damaged.
    """
    shown = sample(data.episodes, episodes)
    _ = data.columns  # complain before the long work, not after
    cards = [_episode(data, record) for record in track(shown, "episodes", disable=not progress)]
    text = render(
        "dataset_page.html.jinja",
        title=data.path.resolve().name,
        subtitle=_subtitle(data),
        figures=_figures(data),
        tasks=_tasks(data),
        charts=_charts(data),
        episodes=cards,
        footer=_facts(data),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return [record.index for record in shown]


def sample(records: Sequence[EpisodeRecord], count: int) -> list[EpisodeRecord]:
    """Episodes to show: the tasks take turns, and each is gone through from its start to its end.

    Args:
        records: all episodes.
        count: how many to take, at most.
    """
    tasks: dict[str, list[EpisodeRecord]] = {}
    for record in records:
        tasks.setdefault(record.task, []).append(record)
    taken = dict.fromkeys(tasks, 0)
    while sum(taken.values()) < min(count, len(records)):
        open_tasks = [task for task in tasks if taken[task] < len(tasks[task])]
        taken[min(open_tasks, key=lambda task: taken[task])] += 1
    result: list[EpisodeRecord] = []
    for task, number in taken.items():
        places = np.linspace(0, len(tasks[task]) - 1, number).round().astype(int)
        result += [tasks[task][place] for place in places]
    return result


def _subtitle(data: Dataset) -> str:
    height, width = data.image_size
    cameras = " and ".join(data.cameras)
    robot = data.info.get("robot_type") or "an unnamed robot"
    return (
        f"Demonstrations on {robot}, seen by the cameras {cameras}: "
        f"{width} x {height} pixels, {data.fps:g} frames a second"
    )


def _figures(data: Dataset) -> list[dict[str, str]]:
    marks = data.columns[layout.DISTURBANCE]
    minutes = len(data) / data.fps / 60.0
    return [
        {"name": "episodes", "value": f"{len(data.episodes):,}"},
        {"name": "tasks", "value": str(len({record.task for record in data.episodes}))},
        {"name": "different instructions", "value": f"{len(data.instructions):,}"},
        {"name": "minutes", "value": f"{minutes:,.1f}" if minutes < 100 else f"{minutes:,.0f}"},
        {"name": "frames", "value": f"{len(data):,}"},
        {"name": "frames disturbed on purpose", "value": f"{(marks > 0).mean():.0%}"},
    ]


def _tasks(data: Dataset) -> list[dict[str, Any]]:
    """A row a task: how many, how long, how much of it disturbed."""
    marks = data.columns[layout.DISTURBANCE]
    rows: list[dict[str, Any]] = []
    for task in dict.fromkeys(record.task for record in data.episodes):
        records = [record for record in data.episodes if record.task == task]
        own = np.concatenate([marks[record.start : record.stop] for record in records])
        rows.append(
            {
                "task": task,
                "episodes": len(records),
                "instructions": len({record.instruction for record in records}),
                "seconds": float(np.median([len(record) for record in records])) / data.fps,
                "drift": float((own == 1).mean()),
                "error": float((own == layout.ERROR_LEVEL).mean()),
            }
        )
    most = max(row["episodes"] for row in rows)
    return [row | {"share": row["episodes"] / most} for row in rows]


def _charts(data: Dataset) -> list[dict[str, str]]:
    seconds = np.array([len(record) for record in data.episodes]) / data.fps
    charts = [{"name": "Episode length", "svg": dataset_charts.length_chart(seconds)}]
    first = data.columns[layout.KEYPOINTS][[record.start for record in data.episodes]]
    if np.isfinite(first).all():
        svg = dataset_charts.place_chart(first[:, :2].astype(float), first[:, 3:5].astype(float))
        charts.append({"name": "Targets and goals at the start, seen from above", "svg": svg})
    return charts


def _episode(data: Dataset, record: EpisodeRecord) -> dict[str, Any]:
    frames = data.episode(record.index)
    pictures = [_picture(frames, index) for index in range(len(frames))]
    return {
        "index": record.index,
        "instruction": record.instruction,
        "task": record.task,
        "seed": record.seed,
        "noise": "" if record.noise == "none" else record.noise,
        "seconds": len(record) / data.fps,
        "clip": clip(pictures, round(data.fps)),
        "poster": jpeg(pictures[0], pictures[0].shape[1]),
        "chart": dataset_charts.episode_chart(frames, data.fps),
    }


def _picture(frames: EpisodeFrames, index: int) -> Image:
    """What all cameras see, side by side."""
    nothing = np.zeros((CLIP_HEIGHT, 0, 3), np.uint8)
    views = [beside(nothing, {name: images[index]}) for name, images in frames.images.items()]
    return np.hstack(views)


def clip(pictures: Sequence[Image], fps: int) -> str:
    """The pictures as base64 MP4."""
    with tempfile.TemporaryDirectory() as folder:
        writer = VideoWriter(Path(folder) / "clip.mp4", fps)
        for picture in pictures:
            writer.add(np.ascontiguousarray(picture))
        writer.close()
        return base64.b64encode(writer.path.read_bytes()).decode()


def _facts(data: Dataset) -> list[dict[str, str]]:
    facts = {"folder": str(data.path), "format": f"LeRobot {data.info['codebase_version']}"}
    try:
        config = json.loads((data.path / layout.COLLECTION_PATH).read_text(encoding="utf-8"))
        plan = config.get("collection", {})
        facts |= {"collection": ", ".join(f"{k} {v}" for k, v in plan.items() if _is_plain(v))}
    except (OSError, ValueError, AttributeError):
        pass  # only what this project collected says how
    return [{"name": name, "value": value} for name, value in facts.items() if value]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)
