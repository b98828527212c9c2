"""The table of data distillation: arms, ratios and seeds against each other. Resumes.

Every small set gets S / 5 optimiser steps, or S if its name ends in ``_long``; all data (``full``)
S, or S / 5 (``full_short``). All share preset, batch, tasks, and the seeds they are evaluated on. A
seed's arms share one work folder, so the guide and the scores are made once; each arm's
preprocessing time counts all that it needs, as if it had been alone.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.benchmark.data_config import (
    ENDINGS,
    SOFT,
    DataBenchConfig,
    Run,
    by_cell,
    parts,
)
from vla_distill.dataset.source import open_frames
from vla_distill.evaluation.evaluation import EvaluationConfig, evaluate
from vla_distill.evaluation.machine import commit
from vla_distill.evaluation.statistics import wilson
from vla_distill.ftncfm.config import DistillDataConfig, start_hash
from vla_distill.ftncfm.distill import distill_data
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.executor import make_executor
from vla_distill.ftncfm.lean import lean
from vla_distill.ftncfm.pool import open_pool
from vla_distill.ftncfm.workfolder import agree
from vla_distill.training.config import TrainConfig
from vla_distill.training.curve import training_seconds
from vla_distill.training.launch import launch
from vla_distill.training.trainer import Trainer
from vla_policy.checkpoint import load_policy, policy_hash


def run(
    config: DataBenchConfig, known: Iterable[Mapping[str, Any]] = (), progress: bool = True
) -> Iterator[dict[str, Any]]:
    """Make the table, cell by cell; what is known or in the work folder is not made again.

    Args:
        config: what to compare.
        known: rows that were made before under the same conditions; they come first.
        progress: show progress bars.

    Yields:
        ``commit``, ``arm``, ``ratio``, ``seed``, ``success`` with Wilson's ``low`` and ``high``,
        ``episodes``, ``train_seconds``, ``preprocess_seconds``, ``steps``, ``samples`` kept,
        ``outcomes`` by task, ``start`` (hash of the policy that training began with, if with one),
        ``data`` and ``teacher`` (their hashes; older rows have none), ``lean`` (of
        :func:`~vla_distill.ftncfm.lean.lean`, if there is a teacher).

    Raises:
        DataDistillationError: see :func:`check`; or the work folder is of another table.
    """
    rows = by_cell(known)
    check(config, rows.values())
    agree(config.work, config.trained())
    yield from rows.values()
    for cell in config.missing(rows.values()):
        path = _path(config, cell)
        if not path.is_file():
            row = _cell(config, cell, progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(row) + "\n", encoding="utf-8")
            temporary.replace(path)
        yield json.loads(path.read_text(encoding="utf-8"))


def check(config: DataBenchConfig, known: Collection[Mapping[str, Any]] = ()) -> None:
    """Refuse what cannot be, before anything is trained. Where nothing is missing, all can be.

    Args:
        config: what to compare.
        known: rows that were made before.

    Raises:
        DataDistillationError: an arm cannot do what its name says; the data cannot give a ratio;
            the policy to begin with is not there; rows, known or in the work folder, are of other
            data or another teacher, or began with another policy than the missing ones of their
            seed would.
        DatasetError: the dataset is damaged.
        PolicyError: the teacher is not there.
    """
    missing = config.missing(known)
    paths = [path for cell in missing if (path := _path(config, cell)).is_file()]
    rows = [*known, *(json.loads(path.read_text(encoding="utf-8")) for path in paths)]
    if missing and config.teacher:
        load_policy(config.teacher)
    for seed in dict.fromkeys(cell.seed for cell in missing):
        pool = open_pool(config.data, config.tasks, seed=seed)
        for cell in missing:
            if cell.seed == seed and not cell.whole:
                small = _small(config, cell)
                small.check()
                pool.budget(small.ratio, small.unit)
        datas = {row["data"] for row in rows if "data" in row}  # older ones do not say
        _same(f"{config.data}: content", pool.frames.content_hash, datas)
        teachers = {row["teacher"] for row in rows if "teacher" in row}
        _same(f"{config.teacher or 'no teacher'}: policy", _teacher(config), teachers)
        starts = {row["start"] for row in rows if row["seed"] == seed}
        _same(f"{config.train.init or 'from scratch'}: policy", start_hash(config.train), starts)


def _teacher(config: DataBenchConfig) -> str:
    return policy_hash(Path(config.teacher)) if config.teacher else ""


def _same(what: str, mine: str, theirs: set[str]) -> None:
    """Rows are compared with each other, so they are of one thing."""
    if others := sorted(theirs - {mine}):
        raise DataDistillationError(
            what,
            got=mine or "none",
            expected=f"{others[0] or 'none'} as of other rows; or another --json and --work",
        )


def _path(config: DataBenchConfig, cell: Run) -> Path:
    """Of a row: a training can be evaluated on several scenes."""
    return config.work / "rows" / f"{cell.name}_{config.scenes}.json"


def _whole(config: DataBenchConfig, cell: Run) -> TrainConfig:
    """The full run with a cell's seed."""
    return replace(config.train, seed=cell.seed, data=[config.data], tasks=list(config.tasks))


def _small(config: DataBenchConfig, cell: Run) -> DistillDataConfig:
    """What a cell trains on, unless on all data; cells of a seed share the work folder."""
    arm, ending = parts(cell.arm)
    small = DistillDataConfig(
        data=config.data,
        out=config.work / "runs" / cell.name / "data",
        work=config.work / f"seed_{cell.seed}",
        train=_whole(config, cell),
        ratio=cell.ratio,
        arm=arm,
        tasks=config.tasks,
        seed=cell.seed,
        teacher=config.teacher if ending == SOFT else "",
    )
    return replace(small, **ENDINGS.get(ending, {}))


def _cell(config: DataBenchConfig, cell: Run, progress: bool) -> dict[str, Any]:
    folder = config.work / "runs" / cell.name
    train = _whole(config, cell).shortened(
        config.steps(cell), out=str(folder / "train"), held_out=0.0
    )
    if cell.whole:
        pool = open_pool(config.data, config.tasks)
        preprocess, samples = 0.0, len(pool.rows) + len(pool.held_out)
        frames, rows, data = pool.frames, pool.rows, pool.frames.content_hash
    else:
        small = _small(config, cell)
        summary = distill_data(small, make_executor(config.processes), progress)
        preprocess, samples = summary["preprocess_seconds"], summary["kept_samples"]
        train, data = replace(train, data=[str(small.out)]), summary["source_hash"]
        frames, _ = open_frames([small.out], progress)
        rows = np.arange(len(frames))
    launch("train", train.to_dict(), config.processes)
    found = evaluate(
        functools.partial(load_policy, folder / "train" / "policy"),
        EvaluationConfig(
            tasks=config.tasks,
            env=config.env,
            episodes=config.episodes,
            seed=config.first_seed,
            processes=config.processes,
            out=folder / f"evaluation_{config.scenes}",
        ),
    )
    wins = [result.success for result in found.results]
    rate = wilson(sum(wins), len(wins))
    return {
        "commit": commit(),
        "arm": cell.arm,
        "ratio": cell.ratio,
        "seed": cell.seed,
        "success": rate.value,
        "low": rate.low,
        "high": rate.high,
        "episodes": len(wins),
        "train_seconds": training_seconds(Path(train.out)),
        "preprocess_seconds": preprocess,
        "steps": train.steps,
        "samples": samples,
        "start": start_hash(train),
        "data": data,
        "teacher": _teacher(config),
        "outcomes": found.outcomes,
        "lean": lean(frames, rows, config.teacher, cell.seed) if config.teacher else {},
    }


def step_seconds(config: DataBenchConfig, steps: int = 3) -> float:
    """Time of an optimiser step in one process [s], for the cost that is told first: several are
    faster."""
    folder = config.work / "timing"
    timed = replace(config.train, out=str(folder), data=[config.data], steps=10**6)
    pool = open_pool(config.data, config.tasks)
    trainer = Trainer(timed, pool.frames, pool.seeds, (pool.rows, pool.rows[:0]))
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        trainer.optimise()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
