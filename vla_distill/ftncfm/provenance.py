"""Where a small dataset came from, and why each of its samples was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.evaluation.machine import command, commit
from vla_distill.ftncfm.contrast import Contrast
from vla_distill.ftncfm.pool import PHASES, Pool
from vla_distill.ftncfm.scoring import Scores
from vla_distill.ftncfm.weights import effective_size


def provenance(
    pool: Pool,
    settings: Mapping[str, Any],
    weight: NDArray[np.floating],
    chosen: NDArray[np.int64],
) -> dict[str, Any]:
    """Of the whole, ready for JSON.

    Args:
        pool: the source.
        settings: what was asked for.
        weight: of the pool's samples. Shape (M,).
        chosen: which of them were kept. Shape (K,).
    """
    total = len(pool.rows) + len(pool.held_out)
    counts = {
        task: {
            phase: int(((pool.task[chosen] == t) & (pool.phase[chosen] == p)).sum())
            for p, phase in enumerate(PHASES)
        }
        for t, task in enumerate(pool.tasks)
    }
    return {
        "settings": dict(settings),
        "source_hash": pool.frames.content_hash,
        "source_samples": total,
        "held_out_samples": len(pool.held_out),
        "kept_samples": len(chosen),
        "kept_episodes": len(np.unique(pool.frames.episode_index[pool.rows[chosen]])),
        "effective_samples": round(effective_size(weight), 1),
        "kept_by_task_and_phase": counts,
        "commit": commit(),
        "command": command(),
    }


def evidence(
    pool: Pool,
    scores: Scores | None,
    weight: NDArray[np.floating],
    contrast: Mapping[int, Contrast],
    chosen: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Of each kept sample: where it was, its numbers, and its counter-example."""
    frames = pool.frames
    rows = []
    for index in np.sort(chosen):
        row = int(pool.rows[index])
        episode = int(frames.episode_index[row])
        entry: dict[str, Any] = {
            "row": row,
            "task": frames.tasks[episode],
            "seed": int(pool.seeds[episode]),
            "frame": int(frames.scene_frame[row]),
            "phase": PHASES[pool.phase[index]],
        }
        if scores is not None:
            entry["weight"] = float(weight[index])
            for name in ("score", "alignment", "loss"):
                entry[name] = float(getattr(scores, name)[index])
        if row in contrast:
            found = contrast[row]
            entry["counter_example"] = {
                "template": found.template or None,
                "tried": list(found.tried),
                "right_action_moved_m": round(found.difference, 4),
                "alignment": found.alignment if np.isfinite(found.alignment) else None,
            }
        rows.append(entry)
    return rows


def unusable(scores: Scores) -> int:
    """Samples whose gradient was not finite: never chosen."""
    return int((~scores.finite).sum())
