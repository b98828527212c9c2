"""Contrastive verification: does the sample owe its score to what its action depends on?

FT-NCFM, Eq. 3 to 5, for the best 5 % by score. If the gradient of a counter-example (the picture of
a changed scene, with the old action, which is wrong there) agrees with the reference as well as the
sample's own, the sample taught nothing about the thing that was changed. "Minimal" is the
counter-example whose pictures differ least among those whose right action changed. Alignment is a
cosine here, so that Eq. 5's tanh sees numbers of order one whatever the guide's gradients' length.

Results are appended to a journal, one line a sample, so a killed run goes on.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_distill.ftncfm.counterexample import CounterExample, Moment, Stage
from vla_distill.ftncfm.executor import Executor
from vla_distill.ftncfm.gradients import dot, norm
from vla_distill.ftncfm.pool import Pool
from vla_distill.ftncfm.scoring import Scores, ScoringJob, load_job
from vla_distill.json_lines import read_json_lines
from vla_sim.constants import TRAIN_SEED_START

SHARE = 0.05
"""Of the samples that are verified: the best ones by score."""
_STAGES: dict[int, Stage] = {}


@dataclass(frozen=True)
class Contrast:
    """What verification found of one sample.

    Attributes:
        row: frame of the dataset.
        template: of its minimal counter-example; empty where none was confirmed.
        tried: templates that could be drawn.
        difference: between the right actions in the two scenes [m].
        alignment: of the counter-example's gradient with the reference's; NaN where there is none.
    """

    row: int
    template: str = ""
    tried: tuple[str, ...] = ()
    difference: float = 0.0
    alignment: float = float("nan")


def best(scores: Scores) -> NDArray[np.int64]:
    """Which samples of the pool are verified."""
    count = max(round(SHARE * len(scores.score)), 1)
    order = np.argsort(-scores.score, kind="stable")[:count]
    return order[scores.finite[order]]


def verify(
    pool: Pool,
    scores: Scores,
    job: ScoringJob,
    journal: Path,
    executor: Executor,
    progress: bool = True,
) -> dict[int, Contrast]:
    """Verify the best samples, or go on with it.

    Args:
        pool: the samples.
        scores: of them.
        job: what they were scored by.
        journal: file of results.
        executor: who computes.
        progress: show a progress bar.

    Returns:
        Row -> what was found.
    """
    found = _read(journal)
    rows = [int(row) for row in pool.rows[best(scores)]]
    todo = [row for row in rows if row not in found]
    columns = (TextColumn("verify"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar, journal.open("a") as file:
        task = bar.add_task("verify", total=len(rows), completed=len(rows) - len(todo))
        for row, result in executor.map(functools.partial(verify_sample, job), todo):
            file.write(json.dumps(vars(result)) + "\n")
            file.flush()
            os.fsync(file.fileno())
            found[row] = result
            bar.advance(task)
    return found


def verify_sample(job: ScoringJob, row: int) -> Contrast:
    """Verify one sample: a function of job and row."""
    guides, _, reference, seeds = load_job(job)
    guide = guides[-1]
    frames = guide.samples.frames
    moment = moment_of(frames, seeds, row)
    if moment is None:
        return Contrast(row)
    found = stage_of(frames.images.shape[2]).counter_examples(moment)
    tried = tuple(each.template for each in found)
    own = np.asarray(frames.images[np.array([row])])[0]
    chosen = minimal(found, own)
    if chosen is None:
        return Contrast(row, "", tried, max((each.difference for each in found), default=0.0))
    prepared = guide.prepare(np.array([row]), chosen.images[None])
    each = guide.gradients(prepared)
    length = torch.sqrt(dot(each, each)) * norm(reference)
    alignment = float((dot(each, reference) / length.clamp(min=1e-12))[0])
    return Contrast(row, chosen.template, tried, chosen.difference, alignment)


def minimal(found: Sequence[CounterExample], image: NDArray[np.uint8]) -> CounterExample | None:
    """The confirmed one whose pictures differ least from the sample's (cameras, H, W, 3)."""
    confirmed = [each for each in found if each.confirmed]
    if not confirmed:
        return None
    gaps = [np.abs(each.images.astype(int) - image).mean() for each in confirmed]
    return confirmed[int(np.argmin(gaps))]


def moment_of(frames: Any, seeds: NDArray[np.int64], row: int) -> Moment | None:
    """The frame as the simulator can set it up; None for data that is not simulated."""
    episode = int(frames.episode_index[row])
    if seeds[episode] < TRAIN_SEED_START or not np.isfinite(frames.keypoints[row]).all():
        return None
    state, target = frames.state[row].astype(float), frames.keypoints[row, :3].astype(float)
    return Moment(frames.tasks[episode], int(seeds[episode]), state, target)


def stage_of(size: int) -> Stage:
    """One stage a process and image size: making one costs more than setting a scene up."""
    if size not in _STAGES:
        _STAGES[size] = Stage(size)
    return _STAGES[size]


def _read(journal: Path) -> dict[int, Contrast]:
    lines = read_json_lines(journal)
    results = [Contrast(**{**line, "tried": tuple(line["tried"])}) for line in lines]
    return {result.row: result for result in results}
