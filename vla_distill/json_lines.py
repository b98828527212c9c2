"""Journals of JSON lines, which a kill can cut off in the middle of the last one."""

from __future__ import annotations

import json
import os
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
