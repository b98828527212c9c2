"""Scores of chunks against what was done: functions of bag, policy and settings alone."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_distill.bags.frames import PoseSeries
from vla_distill.bags.step import AskedChunk

CLOSED = 0.044
"""A commanded opening below this counts as closed [m]: half of the gripper's."""


def errors(asked: Sequence[AskedChunk], done: PoseSeries) -> NDArray[np.float64]:
    """Errors of each target of each chunk against what was done when the target was due.

    Returns:
        Position [mm], rotation [degrees], opening [mm]; NaN where nothing was done then.
        Shape (N, T, 3).
    """
    if not asked:
        return np.zeros((0, 0, 3))
    targets = np.stack([each.chunk.targets for each in asked]).astype(np.float64)
    actual = done.at(_due(asked, targets.shape[1]).ravel()).reshape(targets.shape)
    found = np.full((*targets.shape[:2], 3), np.nan)
    known = np.isfinite(actual).all(axis=2)
    if known.any():
        here, there = targets[known], actual[known]
        turn = Rotation.from_rotvec(here[:, 3:6]).inv() * Rotation.from_rotvec(there[:, 3:6])
        found[known, 0] = 1e3 * np.linalg.norm(here[:, :3] - there[:, :3], axis=1)
        found[known, 1] = np.degrees(turn.magnitude())
        found[known, 2] = 1e3 * np.abs(here[:, 6] - there[:, 6])
    return found


def _due(asked: Sequence[AskedChunk], steps: int) -> NDArray[np.float64]:
    """When the first targets of each chunk are due. Shape (N, steps) [s]."""
    chunks = [each.chunk for each in asked]
    return np.array([chunk.stamp + chunk.step_dt * np.arange(1.0, steps + 1) for chunk in chunks])


def gripper_counts(
    asked: Sequence[AskedChunk], done: PoseSeries, steps: int
) -> tuple[int, int, int]:
    """Closed and meant to be, closed and not meant to be, open and meant to be closed."""
    if not asked:
        return 0, 0, 0
    openings = np.stack([each.chunk.targets[:steps, 6] for each in asked])
    actual = done.at(_due(asked, openings.shape[1]).ravel())[:, 6].reshape(openings.shape)
    known, closed, wanted = np.isfinite(actual), openings < CLOSED, actual < CLOSED
    hit, false, missed = known & closed & wanted, known & closed & ~wanted, known & ~closed & wanted
    return int(hit.sum()), int(false.sum()), int(missed.sum())


def seams(asked: Sequence[AskedChunk]) -> NDArray[np.float64]:
    """How far each chunk's first target lies from where the chunk before it would be then [mm].

    Shape (N - 1,) at most; pairs that do not overlap are left out.
    """
    jumps = []
    for before, after in itertools.pairwise(asked):
        old, new = before.chunk, after.chunk
        due = new.stamp + new.step_dt
        place = (due - old.stamp) / old.step_dt - 1.0
        low = int(np.floor(place + 1e-6))
        if not 0 <= low < len(old.targets) - 1:
            continue
        share = place - low
        point = (1.0 - share) * old.targets[low, :3] + share * old.targets[low + 1, :3]
        jumps.append(1e3 * float(np.linalg.norm(new.targets[0, :3] - point)))
    return np.array(jumps)


def summarise(
    episodes: Sequence[tuple[Sequence[AskedChunk], PoseSeries]], replan_steps: int
) -> dict[str, Any]:
    """The scores of a run over episodes, rounded so that they read the same anywhere."""
    parts = [errors(asked, done) for asked, done in episodes]
    parts = [part for part in parts if len(part)]
    if not parts:
        return {"chunks": 0}
    error = np.concatenate(parts)
    counts = np.sum([gripper_counts(a, d, replan_steps) for a, d in episodes], axis=0)
    jumps = np.concatenate([seams(asked) for asked, _ in episodes])
    chunks = [each for asked, _ in episodes for each in asked]
    ages = np.array([each.asked - min(each.chunk.input_stamps.values()) for each in chunks])
    played = error[:, :replan_steps]
    hit, false, missed = (int(count) for count in counts)
    reports = [each.chunk.report for each in chunks]
    return {
        "chunks": len(chunks),
        "targets_compared": int(np.isfinite(error[..., 0]).sum()),
        "position_error_mm": spread(played[..., 0]),
        "rotation_error_deg": spread(played[..., 1]),
        "gripper_error_mm": spread(played[..., 2]),
        "gripper_f1": None
        if not hit + false + missed
        else _r(2 * hit / (2 * hit + false + missed)),
        "gripper_closed": {"both": hit, "policy_only": false, "recorded_only": missed},
        "horizon_position_mm": [_mean(error[:, i, 0]) for i in range(error.shape[1])],
        "horizon_rotation_deg": [_mean(error[:, i, 1]) for i in range(error.shape[1])],
        "seam_jump_mm": spread(jumps),
        "observation_age_s": spread(ages),
        "compute": {
            "gflops": _mean(np.array([r.gflops for r in reports])),
            "layers_run": _mean(np.array([float(len(r.layers_run)) for r in reports])),
            "visual_tokens_kept": _mean(np.array([float(r.visual_tokens[1]) for r in reports])),
            "head_steps_computed": _mean(np.array([float(r.head_steps[1]) for r in reports])),
        },
    }


def timing(asked: Sequence[AskedChunk], replan_steps: int, wall_s: float) -> dict[str, Any]:
    """What depends on the machine: latencies, deadline misses, share of time in the model."""
    took = np.array([each.milliseconds for each in asked])
    deadline = np.array([1e3 * replan_steps * each.chunk.step_dt for each in asked])
    if not len(took):
        return {"chunks": 0}
    low, high, highest = np.percentile(took, [50, 95, 99])
    return {
        "chunks": len(took),
        "latency_ms": {"p50": float(low), "p95": float(high), "p99": float(highest)},
        "deadline_misses": int((took > deadline).sum()),
        "wall_s": wall_s,
        "share_in_model": float(took.sum() / 1e3 / wall_s) if wall_s else None,
    }


def spread(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Mean, median, 95th percentile and maximum of the finite numbers; None without any."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return dict.fromkeys(("mean", "median", "p95", "max"))
    median, high = np.percentile(finite, [50, 95])
    return {
        "mean": _r(finite.mean()),
        "median": _r(median),
        "p95": _r(high),
        "max": _r(finite.max()),
    }


def refusals(counts: Counter[str]) -> dict[str, Any]:
    """How the gate judged the targets: all, limited, refused, and why."""
    why = {name: n for name, n in sorted(counts.items()) if name not in ("targets", "limited")}
    return {
        "targets": counts["targets"],
        "limited": counts["limited"],
        "refused": sum(why.values()),
        "refused_because": why,
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return _r(finite.mean()) if finite.size else None


def _r(value: Any) -> float:
    return round(float(value), 6)
