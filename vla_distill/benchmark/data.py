"""The table of data distillation: arms, ratios and seeds against each other. Resumes.

Every small set gets S / 5 optimiser steps, the whole of it (``full``) S, and ``full_short`` S / 5
on all data. All share preset, batch, tasks, and the seeds they are evaluated on. A seed's
arms share one work folder, so the guide and the scores are made once; each arm's preprocessing time
counts all that it needs, as if it had been alone.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.dataset.source import open_frames
from vla_distill.evaluation.evaluation import EvaluationConfig, evaluate
from vla_distill.evaluation.machine import commit
from vla_distill.evaluation.statistics import wilson
from vla_distill.ftncfm.arms import ARMS, FEATURES, get_arm
from vla_distill.ftncfm.config import DistillDataConfig
from vla_distill.ftncfm.distill import distill_data
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.executor import make_executor
from vla_distill.ftncfm.guide import SHARE
from vla_distill.ftncfm.lean import lean
from vla_distill.ftncfm.matching import MatchConfig
from vla_distill.ftncfm.pool import open_pool
from vla_distill.ftncfm.workfolder import agree
from vla_distill.training.config import TrainConfig
from vla_distill.training.curve import training_seconds
from vla_distill.training.launch import launch
from vla_distill.training.trainer import Trainer
from vla_policy.checkpoint import load_policy, policy_hash

FULL, FULL_SHORT = "full", "full_short"
EPISODES, SOFT, PIXELS, CHUNKS = "_episodes", "_soft", "_pixels", "_chunks"
"""At the end of an arm's name: it chooses whole episodes instead of frames; its samples get the
teacher's chunks; of synthetic samples only the pixels are moved; only the chunks are."""
ROWS = (FULL, FULL_SHORT, *ARMS, "random" + EPISODES, "random" + SOFT)
"""What is compared at the main ratio if nothing else is asked for."""
SHORT = 5
"""A small set's training is so many times shorter than the full one."""
SEEDS = (42, 123, 1024)
"""FT-NCFM's."""
PILOT = 10
"""A pilot has so many times fewer steps and episodes, and one seed."""


def chooser(arm: str) -> str:
    """Name of the arm that chooses, without what is done differently."""
    for suffix in (EPISODES, SOFT, PIXELS, CHUNKS):
        arm = arm.removesuffix(suffix)
    return arm


def matching(arm: str) -> MatchConfig:
    """How an arm's synthetic samples are made."""
    if arm.endswith(PIXELS):
        return MatchConfig(action_rate=0.0)
    return MatchConfig(pixel_rate=0.0) if arm.endswith(CHUNKS) else MatchConfig()


@dataclass(frozen=True)
class Run:
    """A cell of the table: ``arm`` with ``ratio`` of the data, from ``seed``."""

    arm: str
    ratio: float
    seed: int

    @property
    def whole(self) -> bool:
        """Whether it trains on all data."""
        return self.arm in (FULL, FULL_SHORT)

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.arm}_{self.ratio:g}_{self.seed}"


@dataclass(frozen=True)
class DataBenchConfig:
    """What to compare.

    Attributes:
        data: the dataset.
        train: the full run.
        work: where everything is kept.
        tasks: that are trained and evaluated.
        env: a Gymnasium environment to evaluate in, as in ``vla eval --env``; empty for the suite.
        arms: at the main ratio; ``full``, ``full_short`` and names that end in ``_episodes``,
            ``_soft``, ``_pixels`` or ``_chunks`` may be among them.
        ratio: the main one.
        best: arms that are also run at ``more_ratios``.
        more_ratios: e.g. 1 % and 10 %.
        seeds: of split, guide, choice and training.
        episodes: evaluated a task.
        first_seed: of the evaluation.
        teacher: folder of the policy that arms which end in ``_soft`` ask, and that all labels are
            held against; empty for none.
        processes: that train, score and evaluate.
    """

    data: str
    train: TrainConfig
    work: Path
    tasks: tuple[str, ...]
    env: str = ""
    arms: tuple[str, ...] = ROWS
    ratio: float = 0.05
    best: tuple[str, ...] = ()
    more_ratios: tuple[float, ...] = (0.01, 0.1)
    seeds: tuple[int, ...] = SEEDS
    episodes: int = 100
    first_seed: int = 0
    teacher: str = "checkpoints/teacher"
    processes: int = 1

    def __post_init__(self) -> None:
        for arm in (*self.arms, *self.best):
            if arm not in (FULL, FULL_SHORT):
                get_arm(chooser(arm))
            if arm.endswith(SOFT) and not self.teacher:
                raise DataDistillationError(f"teacher of {arm}", got="none", expected="--teacher")

    def pilot(self) -> DataBenchConfig:
        """A tenth of it, in a folder of its own."""
        train = self.train.shortened(max(self.train.steps // PILOT, SHORT))
        return replace(
            self,
            train=train,
            work=self.work / "pilot",
            seeds=self.seeds[:1],
            episodes=max(self.episodes // PILOT, 1),
        )

    def runs(self) -> list[Run]:
        """All cells, seed by seed, so that an interrupted table has whole seeds."""
        cells = []
        for seed in self.seeds:
            for arm in self.arms:
                cells.append(Run(arm, 1.0 if arm in (FULL, FULL_SHORT) else self.ratio, seed))
            cells += [Run(arm, ratio, seed) for arm in self.best for ratio in self.more_ratios]
        return cells

    def conditions(self) -> dict[str, Any]:
        """What two cells must agree in to stand in one table."""
        train = {k: v for k, v in self.train.to_dict().items() if k not in Trainer.free}
        same = ("data", "tasks", "env", "episodes", "first_seed", "teacher")
        own = {name: getattr(self, name) for name in same}
        return json.loads(json.dumps({**train, **own, "steps": self.train.steps}))

    def steps(self, run: Run) -> int:
        """Optimiser steps of a cell."""
        return self.train.steps if run.arm == FULL else self.train.steps // SHORT


def cost(config: DataBenchConfig, known: Iterable[Mapping[str, Any]] = ()) -> dict[str, float]:
    """What is to come: trainings, optimiser steps in all (guides too), episodes."""
    made = {(row["arm"], row["ratio"], row["seed"]) for row in known}
    runs = [run for run in config.runs() if (run.arm, run.ratio, run.seed) not in made]
    steps = sum(config.steps(run) for run in runs)
    small = [run for run in runs if not run.whole]
    guides = {run.seed for run in small if ARMS[chooser(run.arm)].needs >= FEATURES}
    steps += round(SHARE * config.train.steps) * len(guides)
    return {
        "trainings": len(runs),
        "steps": steps,
        "samples": steps * config.train.batch,
        "episodes": len(runs) * config.episodes * len(config.tasks),
    }


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
        ``lean`` (of :func:`~vla_distill.ftncfm.lean.lean`, if there is a teacher).

    Raises:
        DataDistillationError: the work folder is of another table, or a seed's known rows began
            with another policy than the missing ones would.
    """
    agree(config.work, config.conditions())
    rows = {Run(row["arm"], row["ratio"], row["seed"]): dict(row) for row in known}
    missing = [cell for cell in config.runs() if cell not in rows]
    _same_start(config, {cell.seed for cell in missing}, rows.values())
    yield from rows.values()
    for cell in missing:
        path = config.work / "rows" / f"{cell.name}.json"
        if not path.is_file():
            row = _cell(config, cell, progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(row) + "\n", encoding="utf-8")
            temporary.replace(path)
        yield json.loads(path.read_text(encoding="utf-8"))


def _same_start(
    config: DataBenchConfig, seeds: set[int], rows: Iterable[Mapping[str, Any]]
) -> None:
    """A seed's rows are compared with each other, so all of them begin with the same policy."""
    others = {row["start"] for row in rows if row["seed"] in seeds}
    if others and (start := _start(config.train)) not in others:
        raise DataDistillationError(
            f"{config.train.init or 'from scratch'}: policy",
            got=start,
            expected=f"{', '.join(sorted(others))}, which the rows of these seeds began with; or"
            " other --seeds",
        )


def _start(train: TrainConfig) -> str:
    """Hash of the policy that training begins with; empty if with none."""
    return policy_hash(Path(train.init)) if train.init else ""


def _cell(config: DataBenchConfig, cell: Run, progress: bool) -> dict[str, Any]:
    shared = config.work / f"seed_{cell.seed}"
    folder = config.work / "runs" / cell.name
    whole = replace(config.train, seed=cell.seed, data=[config.data], tasks=list(config.tasks))
    train = whole.shortened(config.steps(cell), out=str(folder / "train"), held_out=0.0)
    if cell.whole:
        pool = open_pool(config.data, config.tasks)
        preprocess, samples = 0.0, len(pool.rows) + len(pool.held_out)
        frames, rows = pool.frames, pool.rows
    else:
        small = DistillDataConfig(
            data=config.data,
            out=folder / "data",
            work=shared,
            train=whole,
            ratio=cell.ratio,
            arm=chooser(cell.arm),
            unit="episodes" if cell.arm.endswith(EPISODES) else "frames",
            tasks=config.tasks,
            seed=cell.seed,
            teacher=config.teacher if cell.arm.endswith(SOFT) else "",
            match=matching(cell.arm),
        )
        summary = distill_data(small, make_executor(config.processes), progress)
        preprocess, samples = summary["preprocess_seconds"], summary["kept_samples"]
        train = replace(train, data=[str(small.out)])
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
            out=folder / "evaluation",
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
        "start": _start(train),
        "outcomes": found.outcomes,
        "lean": lean(frames, rows, config.teacher, cell.seed) if config.teacher else {},
    }


def step_seconds(config: DataBenchConfig, steps: int = 3) -> float:
    """Time of an optimiser step in one process [s], for the cost that is told first: several are
    faster."""
    folder = config.work / "timing"
    timed = replace(config.train, out=str(folder), data=[config.data], steps=10**6)
    pool = open_pool(config.data, config.tasks)
    trainer = Trainer(timed, pool.frames, None, (pool.rows, pool.rows[:0]))
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        trainer.optimise()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
