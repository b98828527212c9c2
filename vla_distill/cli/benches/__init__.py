"""The sub-verbs of ``vla bench``, one file each: its arguments, and what it prints and writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Number = TypeVar("Number", int, float)


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(option: str, text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """What stands between commas, as int or float.

    Raises:
        DistillError: something else stands there; the option is named.
    """
    from vla_distill.errors import DistillError

    try:
        return tuple(map(kind, words(text)))
    except ValueError as error:
        raise DistillError(option, got=text, expected="numbers, separated by commas") from error


def folders(text: str) -> dict[str, Path]:
    """Folders by name, of NAME=DIR,NAME=DIR."""
    from vla_distill.errors import DistillError

    found = {}
    for word in words(text):
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise DistillError("--others", got=word, expected="NAME=DIR")
        found[name] = Path(folder)
    return found


def origin() -> dict[str, Any]:
    """Where a record comes from: commit, command and machine."""
    from vla_distill.evaluation.machine import command, commit, machine

    return {"commit": commit(), "command": command(), "machine": machine()}


def standing(path: Path, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a table that stands there, to go on with; nothing if there is none.

    Raises:
        DistillError: it was made under other conditions, or is no table.
    """
    from vla_distill.errors import DistillError

    if not path.is_file():
        return {}
    try:
        record: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DistillError(
            f"{path}", got=error, expected="a table; or another --json, or move it away"
        ) from error
    for key, value in json.loads(json.dumps(dict(conditions))).items():
        if record.get(key) != value:
            raise DistillError(
                f"{path}: {key}",
                got=value,
                expected=f"{record.get(key)} as in its rows; or another --json, or move it away",
            )
    return record


def write(record: dict[str, Any], path: Path) -> None:
    """Write a record as JSON, all or nothing: its rows may stand nowhere else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
