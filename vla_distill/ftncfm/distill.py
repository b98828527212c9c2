"""The whole way from a dataset to a small one: guide, scores, contrast, choice, writing.

Everything is kept in a work folder, which several arms share; each step goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_distill.ftncfm.arms import (
    CONTRAST,
    FEATURES,
    NOTHING,
    SCORES,
    Arm,
    Candidates,
    cover_tasks,
    get_arm,
)  # fmt: skip
from vla_distill.ftncfm.config import DistillDataConfig
from vla_distill.ftncfm.contrast import Contrast, verify
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.excerpt import write_excerpt, written_seeds
from vla_distill.ftncfm.executor import Executor
from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.guide import train_guide
from vla_distill.ftncfm.matching import match, write_matched
from vla_distill.ftncfm.pool import Pool, open_pool
from vla_distill.ftncfm.provenance import evidence, provenance, unusable
from vla_distill.ftncfm.relabel import relabel
from vla_distill.ftncfm.scoring import Scores, score
from vla_distill.ftncfm.small_set import files, finished, publish
from vla_distill.ftncfm.weights import contrasted, to_weights
from vla_distill.ftncfm.workfolder import agree, spent, stopwatch
from vla_distill.report.samples_page import SamplesPage
from vla_distill.training.curve import training_seconds

GUIDE = "guide"
"""Folder of its run."""


@dataclass(frozen=True)
class Traced:
    """What is known of the pool's samples; empty fields were not asked for."""

    scores: Scores | None
    contrast: dict[int, Contrast]
    score: NDArray[np.floating]
    weight: NDArray[np.floating]
    guide: Path | None


def distill_data(
    config: DistillDataConfig, executor: Executor, progress: bool = True
) -> dict[str, Any]:
    """Make the small dataset, or go on with it.

    Args:
        config: what to make.
        executor: who scores and verifies.
        progress: show progress bars.

    Returns:
        The summary that is also written: provenance, without each sample's evidence.

    Raises:
        DataDistillationError: a setting or the ratio cannot be; the work folder is of something
            else; a task has no sample that can be judged.
        DatasetError: the dataset is damaged, or something else is at ``out``.
    """
    config.check()
    pool = open_pool(config.data, config.tasks, seed=config.seed)
    origin = config.origin(pool.frames.content_hash)
    if found := finished(config.out, origin):
        return found
    arm, count = get_arm(config.arm), pool.budget(config.ratio, config.unit)
    config.work.mkdir(parents=True, exist_ok=True)
    traced = trace(config, pool, arm, executor, progress)
    with stopwatch(config.work, f"choose_{config.name}"):
        chosen = choose(config, pool, arm, traced, count)
    summary = provenance(pool, origin, traced.weight, chosen)
    groups, chunks = None, None
    if arm.synthetic:
        groups = _synthesise(config, pool, traced, chosen, origin, progress)
        before, after = np.mean([group["discrepancy"] for group in groups], axis=0)
        summary["discrepancy"] = {"before": float(before), "after": float(after)}
    elif config.teacher:
        chunks = _soft_chunks(config, pool, chosen, progress)
    summary["preprocess_seconds"] = seconds(config, arm)
    page = None
    if traced.scores is not None:
        summary["unusable_samples"] = unusable(traced.scores)
        page = config.work / f"{config.name}.html"
        SamplesPage(pool, traced.scores, traced.weight, traced.contrast, chosen).write(
            page, summary
        )
    detail = evidence(pool, traced.scores, traced.weight, traced.contrast, chosen)
    beside, seeds = files(summary, detail, page), written_seeds(pool.seeds)
    if groups is not None:
        publish(config.out, lambda folder: write_matched(folder, pool, groups, seeds), beside)
    else:
        rows = pool.rows[chosen]
        write_excerpt(config.out, pool, rows, np.ones(len(rows)), seeds, origin, beside, chunks)
    return summary


def trace(
    config: DistillDataConfig, pool: Pool, arm: Arm, executor: Executor, progress: bool = True
) -> Traced:
    """As much as is asked for: guide, scores, contrast; and the weights that the arm draws by."""
    uniform = np.full(len(pool.rows), 1.0 / len(pool.rows))
    if config.needs == NOTHING:
        return Traced(None, {}, uniform, uniform, None)
    guides = train_guide(pool, config.train, config.work / GUIDE)
    folder = config.work / f"scores_{config.tracer}"
    with stopwatch(config.work, f"score_{config.tracer}"):
        scores, job = score(
            pool, config.data, guides, config.tracer, folder, executor, config.seed, progress
        )
    found: dict[int, Contrast] = {}
    value = scores.score
    if config.needs == CONTRAST:
        with stopwatch(config.work, f"contrast_{config.tracer}"):
            found = verify(pool, scores, job, folder / "contrast.jsonl", executor, progress)
        counter = np.array([found[r].alignment if r in found else np.nan for r in pool.rows])
        value = contrasted(value, scores.alignment, counter)
    if arm.needs >= SCORES:
        weight = to_weights(value, pool.group, config.rule)
    else:
        weight = np.where(scores.finite, uniform, 0.0)
        weight /= weight.sum()
    return Traced(scores, found, value, weight, guides[-1].folder)


def choose(
    config: DistillDataConfig, pool: Pool, arm: Arm, traced: Traced, count: int
) -> NDArray[np.int64]:
    """What to keep of the pool, the best first; every task keeps at least one.

    Args:
        config: what to make.
        pool: the samples.
        arm: chooses.
        traced: what is known of the samples.
        count: how many to keep, in the unit.

    Raises:
        DataDistillationError: too few samples can be judged, or none of a task.
    """
    rng = np.random.default_rng([config.seed, 29])
    usable = np.arange(len(pool.rows))
    if traced.scores is not None:
        usable = usable[traced.scores.finite]
    features = np.zeros((len(usable), 0)) if traced.scores is None else traced.scores.features
    if len(features) != len(usable):
        features = features[usable]
    if lost := sorted({pool.tasks[t] for t in np.setdiff1d(pool.task, pool.task[usable])}):
        raise DataDistillationError(
            f"gradients of {', '.join(lost)}",
            got="not one that is finite",
            expected="at least one a task: look at its frames, or leave it out with --tasks",
        )
    one = Candidates(
        pool.task[usable], pool.group[usable], features, traced.score[usable], traced.weight[usable]
    )
    if config.unit == "frames":
        _enough(len(usable), count)
        return usable[cover_tasks(arm.choose(one, count, rng), one.task, rng)]
    episode = pool.frames.episode_index[pool.rows[usable]]
    names, whole = by_episode(one, episode)
    _enough(len(names), count)
    kept = cover_tasks(arm.choose(whole, count, rng), whole.task, rng)
    return usable[np.isin(episode, names[kept])]


def _enough(there: int, wanted: int) -> None:
    if there < wanted:
        raise DataDistillationError(
            "samples that can be judged", got=there, expected=f"the {wanted} that the ratio keeps"
        )


def by_episode(
    frames: Candidates, episode: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Candidates]:
    """Episodes as candidates: means of features and scores, sums of weights; a task is a group."""
    names, first, number, length = np.unique(
        episode, return_index=True, return_inverse=True, return_counts=True
    )

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        out = np.zeros((len(names), *values.shape[1:]))
        np.add.at(out, number, values)
        return out

    task = frames.task[first]
    features = total(frames.features) / length[:, None]
    score = total(frames.score) / length
    return names, Candidates(task, task, features, score, total(frames.weight))


def seconds(config: DistillDataConfig, arm: Arm) -> float:
    """What the arm took before training, its share of what others share too [s]."""
    took = spent(config.work)
    steps = [f"choose_{config.name}"]
    steps += [f"score_{config.tracer}"] if config.needs >= FEATURES else []
    steps += [f"contrast_{config.tracer}"] if config.needs >= CONTRAST else []
    steps += [config.match_name] if arm.synthetic else []
    steps += [f"relabel_{config.name}"] if config.teacher else []
    guide = training_seconds(config.work / GUIDE) if config.needs >= FEATURES else 0.0
    return round(guide + sum(took.get(step, 0.0) for step in steps), 2)


def _synthesise(
    config: DistillDataConfig,
    pool: Pool,
    traced: Traced,
    chosen: NDArray[np.int64],
    origin: Mapping[str, Any],
    progress: bool,
) -> list[dict[str, NDArray[Any]]]:
    """Make the synthetic samples; returns their groups, see :func:`match_group`."""
    assert traced.scores is not None and traced.guide is not None, "synthetic arms are traced"
    folder = config.work / config.match_name
    agree(folder, origin)
    guide = Guide.load(traced.guide, pool.frames, config.seed)
    columns = (TextColumn("match"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        stopwatch(config.work, folder.name),
        Progress(*columns, disable=not progress) as bar,
    ):
        task = bar.add_task("match", total=len(chosen))
        steps = match(
            guide, pool, traced.scores.features, traced.weight, chosen, config.match, folder,
            config.seed,
        )  # fmt: skip
        for done, _ in steps:
            bar.update(task, completed=done)
    groups = []
    for path in sorted(folder.glob("group_*.npz")):
        with np.load(path) as arrays:
            groups.append(dict(arrays))
    return groups


def _soft_chunks(
    config: DistillDataConfig, pool: Pool, chosen: NDArray[np.int64], progress: bool
) -> NDArray[np.float32]:
    """What the teacher says of the chosen samples, in their order. Shape (K, T, 7)."""
    teacher = Guide.load(config.teacher, pool.frames, config.seed)
    step, blocks = f"relabel_{config.name}", []
    columns = (TextColumn("relabel"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with stopwatch(config.work, step), Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("relabel", total=len(chosen))
        for block in relabel(teacher, pool.rows[chosen], config.work / step):
            blocks.append(block)
            bar.advance(task, len(block))
    return np.concatenate(blocks)
