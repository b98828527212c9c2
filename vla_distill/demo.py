"""The demo: instructions in plain words go through the real ROS graph to a simulated arm.

Two child processes do the work: ``vla launch sim.launch.py`` (the nodes, under the real
``launch``) and ``vla_policy_node.session`` (the client that resets, instructs and records). This
module starts them, shows how they go on, stops them, and makes the video, the report and
``result.json`` from what they leave. The simulation runs in lockstep: a slow machine changes the
wall time and nothing else.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_distill.errors import DistillError
from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.graph import drive, launch_command
from vla_distill.report.episode_log import EpisodeLog, read_log, read_pictures
from vla_distill.report.page import write_page
from vla_distill.report.video import Image, VideoWriter, beside, caption

EPISODES: tuple[tuple[str, int], ...] = (("reach", 0), ("pick", 1), ("place", 2), ("place", 3))
"""Task and seed of each episode: the first evaluation seeds in order, not picked by outcome."""
FPS = 10
GREEN, RED, GREY = (122, 220, 140), (255, 120, 110), (200, 200, 200)
SUBTITLE = (
    "Instructions in plain words, sent as ROS 2 goals to a policy that sees two cameras and moves"
    " a simulated ARX X5."
)


@dataclass(frozen=True)
class DemoConfig:
    """What to show.

    Attributes:
        policy: a checkpoint folder, or the name of an installed one.
        out: folder to leave the results in; replaced when the new ones are complete.
        episodes: task and seed of each episode.
        launch_arguments: more arguments of the launch file, each ``name:=value``.
    """

    policy: str = "teacher"
    out: Path = Path("runs/demo")
    episodes: Sequence[tuple[str, int]] = EPISODES
    launch_arguments: Sequence[str] = ()


def run(config: DemoConfig, tell: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Run the demo.

    Args:
        config: what to show.
        tell: called with each event: ``launch``, ``ready``, ``begin``, ``feedback``, ``end`` (see
            :mod:`vla_policy_node.session`) and ``report``.

    Returns:
        The content of ``result.json``.

    Raises:
        DistillError: there is no ROS 2 in this environment.
        GraphError: the nodes did not come up, or an episode could not be run.
    """
    messages = importlib.util.find_spec("vla_msgs")
    # Without an origin it is only the folder that the messages are built from.
    built = messages is not None and messages.origin is not None
    if importlib.util.find_spec("rclpy") is None or not built:
        raise DistillError(
            "ROS 2", got="no rclpy or vla_msgs", expected="`make setup`, then `source env.sh`"
        )
    config.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".demo-", dir=config.out.parent))
    folder.chmod(0o755)
    try:
        # Beside the folder, because it must be there to be read when the demo has failed.
        log = config.out.with_name(f"{config.out.name}.log")
        drive(launch_command(_launch_arguments(config)), _session(config, folder), log, tell)
        tell({"event": "report"})
        result = _finish(config, folder)
        _replace(config.out, folder)
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _launch_arguments(config: DemoConfig) -> list[str]:
    """Arguments of the launch file."""
    policy = Path(config.policy)
    return [
        "mode:=lockstep",
        f"policy:={policy.resolve() if policy.is_dir() else config.policy}",
        *config.launch_arguments,
    ]


def _session(config: DemoConfig, folder: Path) -> list[str]:
    """The command that runs the episodes and records them."""
    wanted = [f"{task}:{seed}" for task, seed in config.episodes]
    out = str(folder / "episodes")
    return [sys.executable, "-m", "vla_policy_node.session", "--out", out, *wanted]


def _finish(config: DemoConfig, folder: Path) -> dict[str, Any]:
    """Make video, report and result from the logs."""
    paths = sorted((folder / "episodes").glob("*/log.json"))
    logs = [read_log(path) for path in paths]
    films = [film(log, path.parent) for log, path in zip(logs, paths, strict=True)]
    writer = VideoWriter(folder / "demo.mp4", FPS)
    for pictures in films:
        for picture in [*pictures, *pictures[-1:] * FPS]:
            writer.add(picture)
    writer.close()
    result = summary(config, logs)
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    facts = {
        "command": result["command"],
        "commit": result["commit"] or "-",
        "processor": str(result["machine"]["processor"]),
    }
    write_page(
        folder / "report.html",
        logs,
        films,
        title="lean_vla demo",
        subtitle=SUBTITLE,
        facts=facts,
        video="demo.mp4" if (folder / "demo.mp4").exists() else "",
        fps=FPS,
    )
    for path in paths:
        for picture in path.parent.glob("*.jpg"):
            picture.unlink()
    return result


def film(log: EpisodeLog, folder: Path) -> list[Image]:
    """The episode's pictures: the overview, the policy's cameras beside it, the instruction."""
    cameras = read_pictures(folder)
    overview = cameras.pop("overview", {})
    pictures = []
    end, step = max(overview, default=-1), 1000 // FPS
    for milliseconds in range(0, end + 1, step):
        small = {name: _read(_newest(found, milliseconds)) for name, found in cameras.items()}
        picture = beside(_read(_newest(overview, milliseconds)), small)
        detail, color = f"{milliseconds / 1000:.1f} s", GREY
        if milliseconds + step > end:
            detail, color = log.ending, GREEN if log.success else RED
        pictures.append(caption(picture, log.instruction, detail, color))
    return pictures


def summary(config: DemoConfig, logs: Sequence[EpisodeLog]) -> dict[str, Any]:
    """The content of ``result.json``."""
    return {
        "episodes": [
            {
                "task": log.task,
                "seed": log.seed,
                "instruction": log.instruction,
                "success": log.success,
                "seconds": log.seconds,
                "reason": log.reason,
                "wall_seconds": log.wall_seconds,
                "chunks": len(log.chunk_time),
            }
            for log in logs
        ],
        "success_rate": float(np.mean([log.success for log in logs])) if logs else 0.0,
        "policy": config.policy,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }


def _replace(out: Path, folder: Path) -> None:
    """Put the finished folder in the place of the old one; nobody sees a half of either."""
    old = folder.with_name(folder.name + "-old")
    if out.exists():
        out.rename(old)
    folder.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _newest(found: Mapping[int, Path], milliseconds: int) -> Path:
    """The camera's picture of that time, or the one before if it was lost on the way."""
    before = [time for time in found if time <= milliseconds]
    return found[max(before, default=min(found))]


def _read(path: Path) -> Image:
    picture = cv2.imread(str(path))
    if picture is None:
        raise DistillError(f"picture {path}", got="nothing readable", expected="a JPEG")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)
