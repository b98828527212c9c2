"""What a work folder remembers: what it is of, and what its steps took."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.ftncfm.errors import DataDistillationError

TIMES = "seconds.json"


def agree(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note what a folder is of, or hold it against what is noted.

    Raises:
        DataDistillationError: the folder is of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / "settings.json", json.loads(json.dumps(dict(settings)))
    if not path.is_file():
        write_text(path, json.dumps(mine, indent=1) + "\n")
    theirs = json.loads(path.read_text())
    for key, value in mine.items():
        if theirs.get(key) != value:
            raise DataDistillationError(
                f"{path}: {key}", got=value, expected=f"{theirs.get(key)}, or another work folder"
            )


def write_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz file, all or nothing."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def stopwatch(folder: Path, step: str) -> Iterator[None]:
    """Add the time of a step to what it took before, also when it is interrupted (Ctrl-C; what a
    process that is killed outright had taken is not known).

    Of a step that came to its end before, only results are read again: that counts no more.
    """
    begin, ended = time.perf_counter(), False
    try:
        yield
        ended = True
    finally:
        path = folder / TIMES
        record = _times(path)
        if step not in record["done"]:
            took = record["seconds"].get(step, 0.0) + time.perf_counter() - begin
            record["seconds"][step] = took
            record["done"] += [step] * ended
            write_text(path, json.dumps(record, indent=1) + "\n")


def spent(folder: Path) -> dict[str, float]:
    """Step -> seconds so far."""
    return _times(folder / TIMES)["seconds"]


def _times(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {"seconds": {}, "done": []}
