"""The log of an episode as ``vla_policy_node.session`` leaves it: a JSON file of named columns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.errors import DistillError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EpisodeLog:
    """What the robot's topics said during one episode; times are simulated and start at 0.

    Attributes:
        task: name of the task.
        seed: seed of the scene.
        instruction: what the policy was told.
        success: whether the goal ended in success.
        reason: how the goal ended, in words.
        seconds: simulated time until it ended [s].
        wall_seconds: the same on the wall's clock [s].
        time: when the end effector's state was measured [s]. Shape (N,).
        measured: position [m], rotation vector [rad] in ``base_link``, opening [m]. Shape (N, 7).
        commanded: the same as last commanded. Shape (N, 7).
        chunk_time: stamps of the chunks' observations [s]. Shape (M,).
        chunk_ms: time in vision, language, head, and in total [ms]. Shape (M, 4).
        chunk_gflops: cost of the chunks [1e9 operations]. Shape (M,).
    """

    task: str
    seed: int
    instruction: str
    success: bool
    reason: str
    seconds: float
    wall_seconds: float
    time: Array
    measured: Array
    commanded: Array
    chunk_time: Array
    chunk_ms: Array
    chunk_gflops: Array

    @property
    def ending(self) -> str:
        """How it ended, in few words: the reason without the numbers that follow it."""
        return "done" if self.success else self.reason.split(" (")[0]


_WIDTHS = {"measured": 7, "commanded": 7, "chunk_ms": 4}
_COLUMNS = ("time", "chunk_time", "chunk_gflops")


def read_log(path: Path) -> EpisodeLog:
    """Read an episode's log.

    Raises:
        DistillError: the file is missing, not JSON, or lacks a column.
    """
    try:
        entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entry |= {name: np.array(entry.pop(name), float).reshape(-1) for name in _COLUMNS}
        entry |= {
            name: np.array(entry.pop(name), float).reshape(-1, width)
            for name, width in _WIDTHS.items()
        }
        return EpisodeLog(**entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DistillError(f"episode log {path}", got=error, expected="a session's log") from error


def read_pictures(folder: Path) -> dict[str, dict[int, Path]]:
    """The pictures of an episode: camera -> simulated milliseconds -> file."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob("*_*.jpg")):
        camera, _, milliseconds = path.stem.rpartition("_")
        found.setdefault(camera, {})[int(milliseconds)] = path
    return found
