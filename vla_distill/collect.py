"""Collects demonstrations of a suite into a dataset: ``vla collect``."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vla_distill.collection.config import CollectConfig
from vla_distill.collection.disturbance import ENVIRONMENT_DRIFT, DisturbanceConfig
from vla_distill.collection.errors import CollectionError
from vla_distill.collection.pool import Attempt, Plan, attempts
from vla_distill.dataset import Dataset, DatasetError, DatasetWriter, layout
from vla_distill.evaluation.machine import commit, cores
from vla_sim.constants import CAMERAS, IMAGE_SIZE, STEP_DT


def collect(config: CollectConfig, progress: bool = True) -> dict[str, Any]:
    """Collect, or go on collecting, until the dataset is complete.

    Args:
        config: what to collect.
        progress: show a progress bar.

    Returns:
        The summary: by task kept, attempted, success rate, frames and noise; frames, seconds.

    Raises:
        CollectionError: the plan is impossible, or the experts fail.
        DatasetError: something else is at ``out``.
    """
    with _lock(config.out):
        return _collect(config, progress)


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Keep a second collection away from the same dataset.

    Raises:
        CollectionError: one is at work already.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f".{out.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CollectionError(
                f"{out}", got="another collection at work on it", expected="one at a time"
            ) from error
        yield


def _collect(config: CollectConfig, progress: bool) -> dict[str, Any]:
    tasks = config.task_names()
    start = time.perf_counter()
    ours = DisturbanceConfig(error_share=config.errors)
    disturbance = ENVIRONMENT_DRIFT if config.env else ours
    collection = {
        **({"env": config.env} if config.env else {"suite": config.suite}),
        "tasks": list(tasks),
        "seed": config.seed,
        "disturbance": disturbance.scaled(config.noise),
    }
    if config.out.exists():
        return _finished(config, tasks, json.loads(json.dumps(collection)))
    arguments = _writer_arguments(config, collection)
    writer = DatasetWriter(**arguments)
    plan = Plan(arguments, config.noise, disturbance, IMAGE_SIZE, config.env)
    processes = config.processes or cores()
    results: list[Attempt] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, disable=not progress) as bars:
        rows = {name: bars.add_task(name, total=config.episodes, note="") for name in tasks}
        for attempt in attempts(plan, writer, tasks, config.episodes, config.seed, processes):
            results.append(attempt)
            same = [each for each in results if each.task == attempt.task]
            kept = sum(each.kept for each in same)
            note = f"{kept / len(same):.0%} solved"
            bars.update(rows[attempt.task], completed=kept, note=note)
    order = {name: number for number, name in enumerate(tasks)}
    chosen = sorted((a.seed, order[a.task], a.task) for a in results if a.kept)
    summary = _summary(config, tasks, results, time.perf_counter() - start)
    episodes = [(task, seed) for seed, _, task in chosen]
    writer.finish(episodes, {layout.SUMMARY_PATH: json.dumps(summary, indent=2)})
    return summary


def _writer_arguments(config: CollectConfig, collection: dict[str, Any]) -> dict[str, Any]:
    """What :class:`DatasetWriter` needs to know, by keyword."""
    arguments = {"path": config.out, "fps": round(1 / STEP_DT), "collection": collection}
    if not config.env:
        return arguments | {"cameras": CAMERAS, "image_size": (IMAGE_SIZE, IMAGE_SIZE)}
    from vla_distill.environments.description import load_description

    description = load_description(config.env)
    return arguments | {
        "cameras": description.cameras,
        "image_size": (description.image_size, description.image_size),
        "robot": description.robot,
    }


def _finished(
    config: CollectConfig, tasks: tuple[str, ...], collection: dict[str, Any]
) -> dict[str, Any]:
    """The summary of a dataset that is complete already.

    Raises:
        DatasetError: it was collected differently, or is something else.
    """
    dataset = Dataset(config.out)
    path = config.out / layout.COLLECTION_PATH
    noted = json.loads(path.read_text()).get("collection") if path.exists() else None
    count = config.episodes * len(tasks)
    if noted != collection or len(dataset.episodes) != count:
        raise DatasetError(
            f"{config.out}",
            got=f"another dataset of {len(dataset.episodes)} episodes",
            expected="a free path, or the dataset that was asked for",
        )
    return json.loads((config.out / layout.SUMMARY_PATH).read_text())


def _summary(
    config: CollectConfig, tasks: tuple[str, ...], results: list[Attempt], seconds: float
) -> dict[str, Any]:
    rows = []
    for task in tasks:
        mine = [each for each in results if each.task == task]
        kept = [each for each in mine if each.kept]
        kinds = sorted({each.noise for each in kept})
        rows.append(
            {
                "name": task,
                "kept": len(kept),
                "attempted": len(mine),
                "success_rate": round(len(kept) / len(mine), 4),
                "frames": sum(each.frames for each in kept),
                "noise": {kind: sum(each.noise == kind for each in kept) for kind in kinds},
                "refused_ticks": sum(each.refused for each in mine),
            }
        )
    words = {key: str(v) if isinstance(v, Path) else v for key, v in asdict(config).items()}
    return {
        "tasks": rows,
        "episodes": sum(row["kept"] for row in rows),
        "frames": sum(row["frames"] for row in rows),
        "seconds": round(seconds, 1),
        "resumed": sum(each.seconds == 0.0 for each in results),
        "config": words,
        "commit": commit(),
    }


if __name__ == "__main__":
    from vla_distill.cli.collect import run

    raise SystemExit(run())
