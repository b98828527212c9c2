"""How far a dataset's chunks lie to one side of what a policy says of its frames.

Recorded chunks scatter about what could be foretold from a frame, to all sides alike. Chosen by
whether a step on them lowers a loss, those are kept that lie on the side where the guide errs, and
a policy that is trained on them to the end errs to the other side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import FrameStore
from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.relabel import BLOCK, mean_chunks

SAMPLES = 512


def lean(
    frames: FrameStore, rows: NDArray[np.int64], policy: str | Path, seed: int = 0
) -> dict[str, float]:
    """Length of the mean deviation of commanded positions, over samples and targets that count.

    Args:
        frames: the dataset.
        rows: of it; SAMPLES of them are looked at.
        policy: folder of a policy that knows the tasks.
        seed: of which, and of the policy's noise.

    Returns:
        ``mm``, and its standard error ``error_mm``: labels that lie to all sides alike have a
        length of about their error.
    """
    judge = Guide.load(policy, frames, seed)
    picks = np.sort(np.random.default_rng([seed, 37]).permutation(rows)[:SAMPLES])
    told = np.concatenate(
        [mean_chunks(judge, picks[at : at + BLOCK]) for at in range(0, len(picks), BLOCK)]
    )
    horizon = told.shape[1]
    away = 1e3 * (frames.chunks(picks, horizon) - told)[..., :3]
    counts = frames.chunk_mask(picks, horizon).astype(bool)
    each = np.stack([own[mask].mean(0) for own, mask in zip(away, counts, strict=True)])
    mean = each.mean(0)
    # To first order the length errs by the spread along the mean's direction.
    along = each @ mean / max(float(np.linalg.norm(mean)), 1e-12)
    return {
        "mm": float(np.linalg.norm(mean)),
        "error_mm": float(along.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else 0.0,
    }
