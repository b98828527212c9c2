"""One HTML page, complete in itself, about episodes that were run through the robot's graph."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vla_distill.report import charts
from vla_distill.report.episode_log import EpisodeLog
from vla_distill.report.video import Image

KEY_FRAMES = 4


def write_page(
    path: Path,
    logs: Sequence[EpisodeLog],
    films: Sequence[Sequence[Image]],
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    video: str = "",
    fps: int = 10,
) -> None:
    """Write the report.

    Args:
        path: the HTML file.
        logs: what the topics said, one log an episode.
        films: pictures of each episode, in time; may be empty. Each (H, W, 3), uint8, RGB.
        title: heading.
        subtitle: one sentence below it.
        facts: what to tell at the end: command, commit, machine.
        video: name of the video beside the page, or empty.
        fps: pictures a second.
    """
    posters = [film[len(film) // 2] for film in films if len(film)]
    text = render(
        "page.html.jinja",
        title=title,
        subtitle=subtitle,
        figures=_figures(logs),
        episodes=[_episode(log, film, fps) for log, film in zip(logs, films, strict=True)],
        video=video,
        poster=jpeg(posters[0], 640) if posters else "",
        footer=[{"name": name, "value": value} for name, value in facts.items()],
    )
    path.write_text(text, encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Fill one of this folder's templates; every name in it must be given."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def _figures(logs: Sequence[EpisodeLog]) -> list[dict[str, str]]:
    won = sum(log.success for log in logs)
    milliseconds = np.concatenate([log.chunk_ms[:, 3] for log in logs] or [np.zeros(0)])
    gflops = np.concatenate([log.chunk_gflops for log in logs] or [np.zeros(0)])
    lag = np.concatenate([_error(log) for log in logs] or [np.zeros(0)])
    return [
        {"name": "episodes succeeded", "value": f"{won} of {len(logs)}"},
        {"name": "median time a chunk", "value": _median(milliseconds, "{:.0f} ms")},
        {"name": "median cost a chunk", "value": _median(gflops, "{:.2f} GFLOP")},
        {"name": "median tracking error", "value": _median(lag * 1000, "{:.1f} mm")},
    ]


def _episode(log: EpisodeLog, film: Sequence[Image], fps: int) -> dict[str, Any]:
    picks = np.linspace(0, len(film) - 1, min(KEY_FRAMES, len(film))).round().astype(int)
    return {
        "task": log.task,
        "seed": log.seed,
        "instruction": log.instruction,
        "success": log.success,
        "outcome": log.ending,
        "seconds": log.seconds,
        "chunks": len(log.chunk_time),
        "chunk_ms": _median(log.chunk_ms[:, 3], "{:.0f} ms"),
        "frames": [{"jpeg": jpeg(film[pick], 480), "time": f"{pick / fps:.1f}"} for pick in picks],
        "charts": [
            {"name": "Way over the table, seen from above", "svg": charts.path_chart(log)},
            {"name": "Position", "svg": charts.position_chart(log)},
            {"name": "Time a chunk, by stage", "svg": charts.stage_chart(log)},
            {"name": "Gripper", "svg": charts.gripper_chart(log)},
        ],
    }


def _error(log: EpisodeLog) -> np.ndarray:
    """Distance between commanded and measured position [m]. Shape (N,)."""
    return np.linalg.norm(log.commanded[:, :3] - log.measured[:, :3], axis=1)


def _median(values: np.ndarray, pattern: str) -> str:
    return pattern.format(float(np.median(values))) if values.size else "-"


def jpeg(image: Image, width: int) -> str:
    """The picture, made smaller, as base64 JPEG."""
    height = round(image.shape[0] * width / image.shape[1])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return base64.b64encode(data.tobytes()).decode()
