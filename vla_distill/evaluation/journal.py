"""The record of an evaluation on disk, from which an interrupted one goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_distill.errors import DistillError
from vla_distill.evaluation.episode import EpisodeResult
from vla_distill.json_lines import read_json_lines


class Journal:
    """A JSONL file: one line of settings, then one line a wave of episodes.

    A wave (the episodes that shared their batches) is written at once or not at all, so an
    evaluation that goes on has exactly the batches of one that was never interrupted.

    Args:
        path: the file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.waves: dict[int, list[EpisodeResult]] = {}
        self.header: dict[str, Any] = {}
        if path is not None and path.exists():
            self._read(path)

    def begin(self, settings: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
        """Write the first line, if there is none yet.

        Args:
            settings: what decides the outcome; must be the same when an evaluation goes on.
            measured: what was measured before the first episode; the first start's values stand.

        Raises:
            DistillError: the file belongs to an evaluation with other settings.
        """
        # Compared as JSON, because that is what comes back from the file.
        new = json.loads(json.dumps(dict(settings)))
        if not self.header:
            self.header = {"settings": new, "measured": dict(measured)}
            self._write(self.header)
        old = self.header["settings"]
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                raise DistillError(
                    f"{key} of the evaluation in {self.path}",
                    got=new.get(key),
                    expected=f"{old.get(key)} as when it began (or another --out)",
                )

    def add(self, wave: int, results: Sequence[EpisodeResult]) -> None:
        """Write a finished wave down."""
        self.waves[wave] = list(results)
        self._write({"wave": wave, "episodes": [asdict(result) for result in results]})

    def results(self) -> list[EpisodeResult]:
        """All results so far, in the order of the waves, whatever order they finished in."""
        return [result for wave in sorted(self.waves) for result in self.waves[wave]]

    def _read(self, path: Path) -> None:
        for entry in read_json_lines(path):
            if "wave" in entry:
                self.waves[entry["wave"]] = [EpisodeResult(**one) for one in entry["episodes"]]
            else:
                self.header = entry

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
