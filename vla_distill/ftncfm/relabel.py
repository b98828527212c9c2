"""Soft labels: what a policy that knows the tasks says of a frame, instead of what was recorded.

A recorded chunk answers to drift that came after the frame, which nothing seen could have foretold;
with few samples that noise does not average out. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.workfolder import agree, write_arrays
from vla_policy.model.plan import FullCompute

DRAWS = 8
"""Chunks that are drawn of each frame; their mean is its label."""
BLOCK = 128


def relabel(teacher: Guide, rows: NDArray[np.int64], folder: Path) -> Iterator[NDArray[np.float32]]:
    """The teacher's chunks for some frames, block by block; those in the folder are not made again.

    Args:
        teacher: the policy, on the dataset whose frames are meant.
        rows: the frames. Shape (K,).
        folder: where blocks are kept.

    Yields:
        Targets of the next frames. Shape (up to 128, T, 7).

    Raises:
        DataDistillationError: the folder is of another policy, dataset or choice.
    """
    settings = {
        "source": teacher.samples.frames.content_hash,
        "teacher": teacher.policy.policy_hash,
        "seed": teacher.seed,
        "rows": rows.tolist(),
    }
    agree(folder, settings)
    for at in range(0, len(rows), BLOCK):
        path = folder / f"block_{at // BLOCK:06d}.npz"
        if not path.is_file():
            write_arrays(path, {"chunks": mean_chunks(teacher, rows[at : at + BLOCK])})
        with np.load(path) as block:
            yield block["chunks"]


@torch.no_grad()
def mean_chunks(teacher: Guide, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean of the chunks that the teacher draws for each frame. Shape (K, T, 7)."""
    policy, batch = teacher.policy, teacher.batch(rows)
    shape = (DRAWS, *batch.actions.shape[1:])
    noise = np.concatenate(
        [
            np.random.default_rng([teacher.seed, 31, int(row)]).standard_normal(shape, np.float32)
            for row in rows
        ]
    )
    condition = teacher.condition(batch).repeat_interleave(DRAWS, 0)
    drawn, _ = policy.network.head.sample(torch.from_numpy(noise), condition, FullCompute())
    mean = drawn.unflatten(0, (len(rows), DRAWS)).mean(1)
    state = teacher.samples.frames.state[rows].astype(np.float64)
    return policy.statistics.write_targets(state, mean.double().numpy())
