"""The whole way from a dataset to a small one: guide, scores, contrast, choice, writing.

Everything is kept in a work folder, which several arms share; each step goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_distill.dataset import DatasetError, layout
from vla_distill.dataset.synthetic import is_synthetic
from vla_distill.ftncfm.arms import (
    CONTRAST,
    FEATURES,
    NOTHING,
    Arm,
    Candidates,
    cover_tasks,
    get_arm,
)  # fmt: skip
from vla_distill.ftncfm.contrast import Contrast, verify
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.excerpt import write_excerpt, written_seeds
from vla_distill.ftncfm.executor import Executor
from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.guide import train_guide
from vla_distill.ftncfm.matching import MatchConfig, match, write_matched
from vla_distill.ftncfm.pool import Pool, open_pool
from vla_distill.ftncfm.provenance import evidence, provenance, unusable
from vla_distill.ftncfm.relabel import relabel
from vla_distill.ftncfm.scoring import Scores, score
from vla_distill.ftncfm.weights import contrasted, to_weights
from vla_distill.ftncfm.workfolder import agree, spent, stopwatch
from vla_distill.report.samples_page import SamplesPage
from vla_distill.training.config import TrainConfig

UNITS = ("frames", "episodes")
PAGE = "samples.html"


@dataclass(frozen=True)
class DistillDataConfig:
    """What to make.

    Attributes:
        data: the dataset.
        out: folder of the small one.
        work: where steps are kept.
        train: a full run, of which the guide is a part.
        ratio: of the dataset's samples (frames), or of its episodes.
        arm: how to choose.
        unit: what is chosen: frames, or whole episodes (not by synthetic arms).
        tasks: only these; all if empty.
        tracer: how samples are traced.
        rule: what happens to negative scores.
        teacher: folder of a policy whose chunks real samples get instead of those recorded; empty
            for none.
        match: how synthetic samples are made.
        seed: of split, noise and draws.
    """

    data: str
    out: Path
    work: Path
    train: TrainConfig
    ratio: float = 0.05
    arm: str = "weighted_contrast"
    unit: str = "frames"
    tasks: tuple[str, ...] = ()
    tracer: str = "lissa"
    rule: str = "clip"
    teacher: str = ""
    match: MatchConfig = field(default_factory=MatchConfig)
    seed: int = 0

    def origin(self) -> dict[str, Any]:
        """What decides the outcome, ready for JSON."""
        values = asdict(self)
        del values["out"], values["work"]
        for name in ("out", "threads", "log_every", "save_every", "keep_policies"):
            del values["train"][name]
        return json.loads(json.dumps(values))


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
        DataDistillationError: arm, unit or ratio cannot be; the work folder is of something else.
        DatasetError: the dataset is damaged, or something else is at ``out``.
    """
    arm = get_arm(config.arm)
    if config.unit not in UNITS or (arm.synthetic and config.unit != "frames"):
        got, kind = f"{config.unit} by {config.arm}", "frames" if arm.synthetic else UNITS
        raise DataDistillationError("unit", got=got, expected=kind)
    if config.teacher and arm.synthetic:
        raise DataDistillationError(
            "teacher", got=f"one, for {config.arm}", expected="none: its chunks are synthetic"
        )
    if finished := _finished(config):
        return finished
    pool = open_pool(config.data, config.tasks, seed=config.seed)
    count = pool.budget(config.ratio)
    config.work.mkdir(parents=True, exist_ok=True)
    traced = trace(config, pool, arm, executor, progress)
    with stopwatch(config.work, f"choose_{_name(config)}"):
        chosen = choose(config, pool, arm, traced, count)
    summary = provenance(pool, config.origin(), traced.weight, chosen)
    detail = evidence(pool, traced.scores, traced.weight, traced.contrast, chosen)
    seeds = written_seeds(pool.seeds)
    if arm.synthetic:
        summary["discrepancy"] = _synthesise(config, pool, traced, chosen, seeds, progress)
    if traced.scores is not None:
        summary["unusable_samples"] = unusable(traced.scores)
    chunks = _soft_chunks(config, pool, chosen, progress) if config.teacher else None
    summary["preprocess_seconds"] = seconds(config, arm)
    page = config.work / f"{_name(config)}.html"
    if traced.scores is not None:
        SamplesPage(pool, traced.scores, traced.weight, traced.contrast, chosen).write(
            page, summary
        )
    text = json.dumps(summary | {"samples": detail}, indent=1)
    if arm.synthetic:
        (config.out / layout.SUMMARY_PATH).write_text(text + "\n", encoding="utf-8")
    else:
        rows = pool.rows[chosen]
        write_excerpt(
            config.out, pool, rows, np.ones(len(rows)), seeds, config.origin(), text + "\n", chunks
        )
    if page.is_file():
        shutil.copy(page, config.out / PAGE)
    return summary


def trace(
    config: DistillDataConfig, pool: Pool, arm: Arm, executor: Executor, progress: bool = True
) -> Traced:
    """As much as the arm needs: guide, scores, contrast, weights."""
    uniform = np.full(len(pool.rows), 1.0 / len(pool.rows))
    if arm.needs == NOTHING:
        return Traced(None, {}, uniform, uniform, None)
    with stopwatch(config.work, "guide"):
        guides = train_guide(pool, config.train, config.work / "guide")
    folder = config.work / f"scores_{config.tracer}"
    with stopwatch(config.work, "score"):
        scores, job = score(
            pool, config.data, guides, config.tracer, folder, executor, config.seed, progress
        )
    guide = guides[-1].folder
    if arm.needs == FEATURES:
        weight = np.where(scores.finite, uniform, 0.0)
        return Traced(scores, {}, scores.score, weight / weight.sum(), guide)
    found: dict[int, Contrast] = {}
    value = scores.score
    if arm.needs == CONTRAST:
        with stopwatch(config.work, "contrast"):
            found = verify(pool, scores, job, folder / "contrast.jsonl", executor, progress)
        counter = np.array([found[r].alignment if r in found else np.nan for r in pool.rows])
        value = contrasted(value, scores.alignment, counter)
    return Traced(scores, found, value, to_weights(value, pool.group, config.rule), guide)


def choose(
    config: DistillDataConfig, pool: Pool, arm: Arm, traced: Traced, count: int
) -> NDArray[np.int64]:
    """What to keep of the pool, the best first; every task keeps at least one."""
    rng = np.random.default_rng([config.seed, 29])
    usable = np.arange(len(pool.rows))
    if traced.scores is not None:
        usable = usable[traced.scores.finite]
    features = np.zeros((len(usable), 0)) if traced.scores is None else traced.scores.features
    if len(features) != len(usable):
        features = features[usable]
    one = Candidates(
        pool.task[usable], pool.group[usable], features, traced.score[usable], traced.weight[usable]
    )
    if config.unit == "frames":
        return usable[cover_tasks(arm.choose(one, count, rng), one.task, rng)]
    episode = pool.frames.episode_index[pool.rows[usable]]
    names, whole = by_episode(one, episode)
    total = len(np.unique(pool.frames.episode_index[np.union1d(pool.rows, pool.held_out)]))
    few = min(max(round(config.ratio * total), len(np.unique(one.task))), len(names))
    kept = cover_tasks(arm.choose(whole, few, rng), whole.task, rng)
    return np.flatnonzero(np.isin(pool.frames.episode_index[pool.rows], names[kept]))


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
    steps = [f"choose_{_name(config)}"]
    steps += ["guide", "score"] if arm.needs >= FEATURES else []
    steps += ["contrast"] if arm.needs >= CONTRAST else []
    steps += [_matched(config)] if arm.synthetic else []
    steps += [f"relabel_{_name(config)}"] if config.teacher else []
    return round(sum(took.get(step, 0.0) for step in steps), 2)


def _synthesise(
    config: DistillDataConfig,
    pool: Pool,
    traced: Traced,
    chosen: NDArray[np.int64],
    seeds: NDArray[np.int64],
    progress: bool,
) -> dict[str, float]:
    """Make and write synthetic samples; returns the groups' mean discrepancy."""
    assert traced.scores is not None and traced.guide is not None, "synthetic arms are traced"
    folder = config.work / _matched(config)
    agree(folder, {"source": pool.frames.content_hash, **config.origin()})
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
    write_matched(config.out, pool, groups, seeds)
    before, after = np.mean([group["discrepancy"] for group in groups], axis=0)
    return {"before": float(before), "after": float(after)}


def _soft_chunks(
    config: DistillDataConfig, pool: Pool, chosen: NDArray[np.int64], progress: bool
) -> NDArray[np.float32]:
    """What the teacher says of the chosen samples, in their order. Shape (K, T, 7)."""
    teacher = Guide.load(config.teacher, pool.frames, config.seed)
    if teacher.policy.horizon != layout.HORIZON:
        raise DataDistillationError(
            f"horizon of {config.teacher}", got=teacher.policy.horizon, expected=layout.HORIZON
        )
    step, blocks = f"relabel_{_name(config)}", []
    columns = (TextColumn("relabel"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with stopwatch(config.work, step), Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("relabel", total=len(chosen))
        for block in relabel(teacher, pool.rows[chosen], config.work / step):
            blocks.append(block)
            bar.advance(task, len(block))
    return np.concatenate(blocks)


def _name(config: DistillDataConfig) -> str:
    return f"{config.arm}_{config.unit}_{config.ratio:g}_{config.seed}"


def _matched(config: DistillDataConfig) -> str:
    """Name of the folder of groups; how they are made is part of it."""
    how = json.dumps(asdict(config.match), sort_keys=True).encode()
    return f"match_{_name(config)}_{hashlib.sha256(how).hexdigest()[:8]}"


def _finished(config: DistillDataConfig) -> dict[str, Any] | None:
    """The summary of what is there already.

    Raises:
        DatasetError: it is something else.
    """
    if not config.out.exists():
        return None
    path = config.out / layout.SUMMARY_PATH
    summary = json.loads(path.read_text()) if path.is_file() else {}
    if summary.get("settings") == config.origin():
        return {key: value for key, value in summary.items() if key != "samples"}
    if not summary and is_synthetic(config.out):
        return None  # killed between its two files
    raise DatasetError(
        f"{config.out}", got="something else", expected="a free path, or what was asked for"
    )
