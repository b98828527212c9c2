"""Scores of all samples, block by block, so that memory does not grow with the dataset.

A block is written under a temporary name and renamed; after a kill those that are there are not
computed again. The work folder notes what the scores are of, and refuses anything else.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch.func import vmap

from vla_distill.dataset.source import open_frames
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.executor import Executor
from vla_distill.ftncfm.gradients import Guide, dot, norm
from vla_distill.ftncfm.guide import Checkpoint
from vla_distill.ftncfm.pool import Pool
from vla_distill.ftncfm.tracing import Direction, get_tracer
from vla_distill.ftncfm.workfolder import agree, write_arrays
from vla_policy.checkpoint import policy_hash

BLOCK = 128
"""Frames scored together."""
DIRECTIONS = "directions.safetensors"
_FIELDS = ("score", "alignment", "loss")


@dataclass(frozen=True)
class ScoringJob:
    """All that a worker needs to score any block.

    Attributes:
        data: the dataset's folder.
        guides: folders of the checkpoints.
        directions: file of the tracer's directions and the reference's gradient.
        seed: of the noise.
    """

    data: str
    guides: tuple[str, ...]
    directions: str
    seed: int


@dataclass(frozen=True)
class Scores:
    """What is known of M samples, in the order of the pool's rows.

    Attributes:
        score: positive is helpful; NaN where a gradient was not finite. Shape (M,), float32.
        alignment: cosine of the sample's and the reference's gradient. Shape (M,), float32.
        loss: at the guide. Shape (M,), float32.
        features: on disk. Shape (M, F), float16.
    """

    score: NDArray[np.float32]
    alignment: NDArray[np.float32]
    loss: NDArray[np.float32]
    features: NDArray[np.float16]

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Samples that can be judged; the others are never chosen. Shape (M,)."""
        return np.isfinite(self.score)


def score(
    pool: Pool,
    data: str,
    guides: Sequence[Checkpoint],
    tracer: str,
    folder: Path,
    executor: Executor,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Scores, ScoringJob]:
    """Score all samples of the pool, or go on with it.

    Args:
        pool: the samples.
        data: folder of the dataset, from which workers read.
        guides: checkpoints, the last one trained longest.
        tracer: its name.
        folder: where the blocks are kept.
        executor: who computes.
        seed: of noise and draws.
        progress: show a progress bar.

    Returns:
        The scores, and the job that made them.

    Raises:
        DataDistillationError: the folder holds other scores, or no gradient at all is finite.
    """
    names = tuple(str(guide.folder) for guide in guides)
    job = ScoringJob(data, names, str(folder / DIRECTIONS), seed)
    hashes = [policy_hash(guide.folder) for guide in guides]
    source = {"source": pool.frames.content_hash, "tracer": tracer, "hashes": hashes}
    agree(folder, {**source, **asdict(job)})
    if not Path(job.directions).is_file():
        _write_directions(pool, guides, tracer, job)
    blocks = [
        (number, pool.rows[at : at + BLOCK])
        for number, at in enumerate(range(0, len(pool.rows), BLOCK))
    ]
    missing = [block for block in blocks if not _path(folder, block[0]).is_file()]
    columns = (TextColumn("score"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("score", total=len(blocks), completed=len(blocks) - len(missing))
        for (number, _), found in executor.map(functools.partial(score_block, job), missing):
            write_arrays(_path(folder, number), found)
            bar.advance(task)
    return _gather(folder, len(blocks), len(pool.rows)), job


def score_block(
    job: ScoringJob, block: tuple[int, NDArray[np.int64]]
) -> dict[str, NDArray[np.floating]]:
    """Scores of one block: a function of the job and the block's rows."""
    guides, directions, reference, _ = load_job(job)
    rows, last = block[1], guides[-1]
    prepared = last.prepare(rows)
    each = last.gradients(prepared)
    total = dot(each, directions[-1])
    for guide, direction in zip(guides[:-1], directions[:-1], strict=True):
        if any(value.any() for value in direction.values()):
            total = total + dot(guide.gradients(guide.prepare(rows)), direction)
    length = torch.sqrt(dot(each, each))
    cosine = dot(each, reference) / (length * norm(reference)).clamp(min=1e-12)
    losses = vmap(last.loss, in_dims=(None, 0, 0, 0))(
        last.weights, prepared.inputs, prepared.velocity, prepared.foretold
    )
    broken = ~torch.isfinite(total + cosine + losses)
    total[broken] = torch.nan
    return {
        "score": total.numpy(),
        "alignment": cosine.nan_to_num(0.0).numpy(),
        "loss": losses.numpy(),
        "features": prepared.features.nan_to_num(0.0).half().numpy(),
    }


@functools.lru_cache(maxsize=1)
def load_job(
    job: ScoringJob,
) -> tuple[list[Guide], list[Direction], Direction, NDArray[np.int64]]:
    """Guides, their directions, the reference's gradient, seeds of the episodes.

    Kept from block to block in each worker.
    """
    frames, seeds = open_frames([job.data], progress=False)
    guides = [Guide.load(folder, frames, job.seed) for folder in job.guides]
    stored = load_file(job.directions)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in stored.items():
        part, name = key.split("/", 1)
        parts.setdefault(part, {})[name] = value
    return guides, [parts[str(n)] for n in range(len(guides))], parts["reference"], seeds


def _write_directions(
    pool: Pool, checkpoints: Sequence[Checkpoint], tracer: str, job: ScoringJob
) -> None:
    guides = [Guide.load(c.folder, pool.frames, job.seed) for c in checkpoints]
    rates = [checkpoint.learning_rate for checkpoint in checkpoints]
    found = get_tracer(tracer).directions(guides, rates, pool.rows, pool.reference, job.seed)
    reference = guides[-1].mean_gradient(pool.reference)
    if not float(norm(reference)) > 0.0:
        raise DataDistillationError(
            "gradients of the held-out samples", got="none that is finite", expected="at least one"
        )
    tensors = {f"{n}/{name}": v for n, part in enumerate(found) for name, v in part.items()}
    tensors |= {f"reference/{name}": value for name, value in reference.items()}
    temporary = job.directions + ".new"
    save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
    os.replace(temporary, job.directions)


def _path(folder: Path, number: int) -> Path:
    return folder / f"block_{number:06d}.npz"


def _gather(folder: Path, blocks: int, count: int) -> Scores:
    """All blocks as one; features go to one file on disk, read where they are needed."""
    path = folder / ".features.npy"
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _FIELDS}
    features: NDArray[np.float16] | None = None
    at = 0
    for number in range(blocks):
        with np.load(_path(folder, number)) as block:
            part = block["features"]
            if features is None:
                shape = (count, part.shape[1])
                features = np.lib.format.open_memmap(path, "w+", np.float16, shape)
            features[at : at + len(part)] = part
            at += len(part)
            for name in _FIELDS:
                columns[name].append(block[name])
    assert features is not None, "a pool has samples"
    path.replace(folder / "features.npy")  # another may have the old one mapped
    merged = {name: np.concatenate(parts).astype(np.float32) for name, parts in columns.items()}
    if not np.isfinite(merged["score"]).any():
        raise DataDistillationError(
            "gradients", got="not one that is finite", expected="a guide that has learned something"
        )
    return Scores(features=features, **merged)
