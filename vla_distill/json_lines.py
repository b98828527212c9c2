"""Journals of JSON lines, which a kill can cut off in the middle of the last one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_json_lines(path: Path) -> list[Any]:
    """What whole lines say; a line without an end is taken out of the file, lest the next one is
    written behind it. Nothing if there is no file."""
    if not path.is_file():
        return []
    whole = path.read_bytes()
    complete = whole[: whole.rfind(b"\n") + 1]
    if len(complete) < len(whole):
        os.truncate(path, len(complete))
    return [json.loads(line) for line in complete.splitlines()]


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write a journal anew, all or nothing."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(temporary, path)
