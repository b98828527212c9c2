"""The folder of a run: one training at a time, and what it is of."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from vla_distill.errors import DistillError

CONFIG, SOURCES = "config.json", "sources.json"


@contextmanager
def alone(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Keep a second training away from the folder.

    The main process takes the lock, and tells the others, who would wait for it in vain.

    Raises:
        DistillError: one is at work already; in every process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        got = [True]
        if accelerator.is_main_process:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                got = [False]
        if not broadcast_object_list(got)[0]:
            raise DistillError(
                str(folder), got="another training at work in it", expected="one at a time"
            )
        yield


def agree(
    folder: Path,
    config: Mapping[str, Any],
    free: Collection[str],
    sources: Mapping[str, str],
    step: int,
) -> None:
    """Hold a run against what :func:`note` has noted of the states that are there.

    Args:
        folder: of the run.
        config: what to do.
        free: what of it may be another.
        sources: hash of what is in the data and in the policy of ``init``, by those names.
        step: of the newest state.

    Raises:
        DistillError: it is another run, or one that has gone further.
    """
    theirs = _read(folder / CONFIG, config)
    if other := [k for k in config if k not in free and config[k] != theirs.get(k)]:
        raise DistillError(
            f"{folder}: {', '.join(other)}",
            got=[config[k] for k in other],
            expected=f"{[theirs.get(k) for k in other]} to resume, or another --out",
        )
    theirs = _read(folder / SOURCES, sources)  # older runs have none
    if other := [f"{k} {config[k]}" for k in sources if sources[k] != theirs.get(k)]:
        raise DistillError(
            f"{folder}: {', '.join(other)}",
            got="other content than the run began with",
            expected=f"the same: restore it, or remove {folder}",
        )
    if step > config["steps"]:
        raise DistillError(
            f"{folder}: steps",
            got=config["steps"],
            expected=f"at least the {step} that are done, or another --out",
        )


def note(folder: Path, config: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Note what a run is of; see :func:`agree`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in ((CONFIG, config), (SOURCES, sources)):
        temporary = folder / f".{name}"
        temporary.write_text(json.dumps(values, indent=2) + "\n")
        temporary.replace(folder / name)


def _read(path: Path, default: Mapping[str, Any]) -> Mapping[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else default
