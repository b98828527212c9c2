"""The sub-verbs of ``vla bench``, one file each: its arguments, and what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [word for word in text.split(",") if word]


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


def write(record: dict[str, Any], path: Path) -> None:
    """Write a record as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
