"""Checks of what the tables of a dataset say, against each other and against the arm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import layout, table
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.reader import Dataset
from vla_sim.constants import STEP_DT

GRIPPER_RANGE = (-0.005, 0.1)
"""Gripper openings that can be [m]."""
REACH_LIMIT = 1.0
"""No command of this arm lies further from its base [m]."""
ROTATION_LIMIT = np.pi + 0.01
"""Longest rotation vector [rad]."""
TIME_TOLERANCE = 1e-4
"""Of a timestamp [s]; LeRobot's own."""
_STATISTICS = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}

Check = Callable[[Dataset], object]


def check_robot(data: Dataset) -> None:
    """The arm and the rate are those that policies here are made for."""
    path = data.path / layout.INFO_PATH
    robot = data.info.get("robot_type")
    if robot != layout.ROBOT_TYPE and not data.is_gymnasium:
        expected = f"{layout.ROBOT_TYPE}, or {layout.GYMNASIUM_PREFIX}*"
        raise DatasetError(f"{path}: robot_type", got=robot, expected=expected)
    check_rate(data)


def check_rate(data: Dataset) -> None:
    """A frame is a step of an action chunk: at another rate a policy would learn another speed."""
    if abs(data.fps * STEP_DT - 1.0) > 1e-6:
        expected = f"{1.0 / STEP_DT:g}, one frame a step of an action chunk"
        path = data.path / layout.INFO_PATH
        raise DatasetError(f"{path}: fps", got=f"{data.fps:g}", expected=expected)


def check_times(data: Dataset) -> None:
    """Frames count from 0 in every episode, and their time is their number over the rate."""
    number = np.concatenate([np.arange(len(record)) for record in data.episodes])
    for file, rows in _files(data):
        content = table.read(file, ["timestamp", "frame_index"])
        counted = table.integers(content, "frame_index", file)
        _equal(f"{file}: frame_index", counted, number[rows])
        column = content["timestamp"].to_numpy()
        if column.dtype.kind != "f":
            raise DatasetError(f"{file}: timestamp", got=column.dtype, expected="seconds, float")
        wrong = np.flatnonzero(~(np.abs(column - counted / data.fps) <= TIME_TOLERANCE))
        if wrong.size:
            row = wrong[0]
            raise DatasetError(
                f"{file}: timestamp in row {row}",
                got=f"{column[row]:g} s",
                expected=f"{counted[row] / data.fps:g} s, frame {counted[row]} at {data.fps:g} fps",
            )


def check_instructions(data: Dataset) -> None:
    """Every frame's ``task_index`` names the instruction of its episode."""
    texts, path = data.instructions, data.path / layout.TASKS_PATH
    if any(not isinstance(text, str) or not text.strip() for text in texts):
        raise DatasetError(f"{path}: task", got=texts, expected="an instruction in every row")
    number = {text: index for index, text in enumerate(texts)}
    for record in data.episodes:
        if record.instruction not in number:
            raise DatasetError(
                f"{path}: task", got="no such row", expected=repr(record.instruction)
            )
    wanted = np.concatenate([np.full(len(r), number[r.instruction]) for r in data.episodes])
    for file, rows in _files(data):
        _equal(f"{file}: task_index", data.columns["task_index"][rows], wanted[rows])
    total = data.info.get("total_tasks")
    if total != len(texts):
        where = f"{data.path / layout.INFO_PATH}: total_tasks"
        raise DatasetError(where, got=total, expected=len(texts))


def check_state(data: Dataset) -> None:
    """The measured states are where the arm can be."""
    _check_ranges(data, layout.STATE)


def check_action(data: Dataset) -> None:
    """The commands are where the arm can go."""
    _check_ranges(data, layout.ACTION)


def check_disturbance(data: Dataset) -> None:
    """The marks are of the three kinds there are."""
    for file, rows in _files(data):
        marks = data.columns[layout.DISTURBANCE][rows]
        wrong = np.flatnonzero((marks < 0) | (marks > layout.ERROR_LEVEL))
        if wrong.size:
            where = f"{file}: {layout.DISTURBANCE} in row {wrong[0]}"
            raise DatasetError(where, got=marks[wrong[0]], expected="0, 1 or 2")


def check_seeds(data: Dataset) -> None:
    """No episode of the simulation occurs twice, and how they were made is noted."""
    seen: dict[tuple[str, int], int] = {}
    for record in data.episodes:
        if record.seed < 0:
            continue
        key = (record.task, record.seed)
        if key in seen:
            raise DatasetError(
                f"{data.path}/meta/episodes: episode {record.index}",
                got=f"task {key[0]}, seed {key[1]}, as in episode {seen[key]}",
                expected="each once",
            )
        seen[key] = record.index
    if seen:
        _read_object(data.path / layout.COLLECTION_PATH, "how the episodes were made")


def check_statistics(data: Dataset) -> None:
    """``stats.json`` fits the numbers it is about."""
    path = data.path / layout.STATISTICS_PATH
    noted = _read_object(path, "statistics of every feature")
    for key in (layout.STATE, layout.ACTION):
        values = data.columns[key].astype(np.float64)
        for name, function in _STATISTICS.items():
            got, wanted = noted.get(key, {}).get(name), function(values, axis=0)
            try:
                fits = np.allclose(np.asarray(got, float), wanted, atol=1e-4)
            except (TypeError, ValueError):
                fits = False
            if not fits:
                raise DatasetError(
                    f"{path}: {key} {name}", got=got, expected=wanted.round(5).tolist()
                )


def check_strays(data: Dataset) -> None:
    """Nothing lies in ``data`` and ``videos`` that no episode names; LeRobot loads all it finds."""
    known = {data.data_path(record) for record in data.episodes}
    for record in data.episodes:
        for camera in data.cameras:
            known.add(data.video_path(camera, record.video_files[layout.video_key(camera)]))
    for folder in ("data", "videos"):
        for file in sorted((data.path / folder).rglob("*")):
            if file.is_file() and file not in known:
                expected = "only files that meta/episodes names"
                raise DatasetError(f"{file}", got="a file of no episode", expected=expected)


CHECKS: tuple[Check, ...] = (
    check_robot,
    check_times,
    check_instructions,
    check_state,
    check_action,
    check_disturbance,
    check_seeds,
    check_statistics,
    check_strays,
)
"""Each raises :class:`DatasetError` at the first thing that is wrong."""


def _files(data: Dataset) -> Iterator[tuple[Path, NDArray[np.int64]]]:
    """The data files and which frames each holds."""
    frames: dict[Path, list[NDArray[np.int64]]] = {}
    for record in data.episodes:
        frames.setdefault(data.data_path(record), []).append(np.arange(record.start, record.stop))
    for file, parts in frames.items():
        yield file, np.concatenate(parts)


def _equal(where: str, got: NDArray[np.int64], expected: NDArray[np.int64]) -> None:
    wrong = np.flatnonzero(got != expected)
    if wrong.size:
        row = wrong[0]
        raise DatasetError(f"{where} in row {row}", got=got[row], expected=expected[row])


def _check_ranges(data: Dataset, key: str) -> None:
    low, high = GRIPPER_RANGE
    for file, rows in _files(data):
        values = data.columns[key][rows]
        limits = (
            ("position", np.linalg.norm(values[:, :3], axis=1) > REACH_LIMIT, slice(0, 3),
             f"at most {REACH_LIMIT:g} m from the base"),
            ("rotation vector", np.linalg.norm(values[:, 3:6], axis=1) > ROTATION_LIMIT,
             slice(3, 6), "at most pi rad long"),
            ("gripper", ((values[:, 6:] < low) | (values[:, 6:] > high)).any(axis=1),
             slice(6, None), f"{low:g} to {high:g} m"),
        )  # fmt: skip
        # Other arms reach elsewhere; a rotation vector is one everywhere.
        for what, outside, part, expected in limits[1:2] if data.is_gymnasium else limits:
            if outside.any():
                row = int(np.flatnonzero(outside)[0])
                raise DatasetError(
                    f"{file}: {key} {what} in row {row} ({outside.sum()} such rows)",
                    got=values[row, part].round(4).tolist(),
                    expected=expected,
                )


def _read_object(path: Path, content: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}", got=error, expected=content) from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path}", got=type(found).__name__, expected=content)
    return found
