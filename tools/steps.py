"""Steps that are done once: each leaves a stamp, and is skipped while its inputs are the same."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class SetupError(RuntimeError):
    """The set-up cannot go on; the text says what is wrong and what to do."""


@dataclass(frozen=True)
class Step:
    """One thing the set-up does.

    Attributes:
        name: names the stamp; letters, digits and underscores.
        title: what the progress line says.
        action: does it; may be called again after an interruption.
        inputs: what the result depends on: text is hashed as it is, files by their content, folders
            by the names of all files in them.
        present: whether the result is still there (somebody may have deleted it).
    """

    name: str
    title: str
    action: Callable[[], None]
    inputs: Sequence[str | Path] = ()
    present: Callable[[], bool] = lambda: True


def digest(inputs: Iterable[str | Path], seed: str = "") -> str:
    """Hash the inputs of a step; a file that is missing counts as empty."""
    total = hashlib.sha256(seed.encode())
    for item in inputs:
        total.update(b"\0" + str(item if isinstance(item, str) else item.name).encode() + b"\0")
        if isinstance(item, Path) and item.is_file():
            total.update(item.read_bytes())
        elif isinstance(item, Path) and item.is_dir():
            names = (p.relative_to(item).as_posix() for p in item.rglob("*") if p.is_file())
            for name in sorted(n for n in names if "__pycache__" not in n):
                total.update(name.encode() + b"\0")
    return total.hexdigest()


class StepRunner:
    """Runs steps in order and remembers what is done.

    A step's stamp also depends on the steps before it, so that a changed step redoes what builds on
    it. The stamp is removed before the step starts and written after it ends: an interrupted step
    runs again, and the finished ones before it do not.

    Args:
        folder: where the stamps lie.
        say: takes one line of progress.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] | None = None) -> None:
        self.folder = folder
        self._say = say or (lambda line: print(line, file=sys.stderr, flush=True))

    def run(self, steps: Sequence[Step]) -> list[str]:
        """Run what is not done yet.

        Returns:
            Names of the steps that ran.

        Raises:
            SetupError: from a step; its stamp is left out, so the next run starts there.
        """
        ran, chain = [], ""
        for number, step in enumerate(steps, 1):
            chain = digest(step.inputs, seed=f"{chain}/{step.name}")
            stamp = self.folder / f"{step.name}.stamp"
            if stamp.is_file() and stamp.read_text() == chain and step.present():
                continue
            stamp.unlink(missing_ok=True)
            self._say(f"[{number}/{len(steps)}] {step.title} ...")
            start = time.monotonic()
            step.action()
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = stamp.with_suffix(".partial")
            partial.write_text(chain)
            partial.replace(stamp)
            self._say(f"[{number}/{len(steps)}] {step.title}: {time.monotonic() - start:.0f} s")
            ran.append(step.name)
        return ran
