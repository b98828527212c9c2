"""Milliseconds of one chunk by stage: warm, one observation at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.errors import DistillError
from vla_distill.evaluation.statistics import percentiles
from vla_policy.checkpoint import load_policy
from vla_policy.contract import ComputeReport, Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import read_recipe
from vla_policy.model.policy import VlaPolicy

STAGES = ("vision", "language", "head")
TURN, WARM_UP = 20, 5
"""Chunks of a policy's turn that are timed, and before them those that are not."""


def compare_times(
    folder: Path | None, preset: str, recipes: Sequence[str], device: str, chunks: int
) -> list[dict[str, Any]]:
    """Time the plain policy and recipes in turns, so that all meet the same disturbances.

    Args:
        folder: of the policy; None takes random weights of ``preset``.
        preset: sizes, where there is no policy.
        recipes: names or files.
        device: where to compute.
        chunks: how many to time of each.

    Returns:
        A row each, the plain policy first: ``name``, ``speedup`` (plain median over its own), and
        what :func:`time_in_turns` gives.

    Raises:
        DistillError: no chunks.
        PolicyError: a policy, preset or recipe is unknown or does not fit.
    """
    plain = load_policy(folder, device) if folder else _random(preset, device)
    policies = {"plain": plain}
    for name in recipes:
        # What is removed does not change its cost, so noise will do to calibrate on.
        policies[name] = accelerate(plain, read_recipe(name), [_noise(plain)])
    times = time_in_turns(policies, chunks)
    base = times["plain"]["total"]["median"]
    return [
        {"name": name, "speedup": base / row["total"]["median"], **row}
        for name, row in times.items()
    ]


def time_in_turns(
    policies: Mapping[str, VlaPolicy], chunks: int, seen: Sequence[Observation] = ()
) -> dict[str, dict[str, Any]]:
    """Time policies in turns, warm, one observation at a time.

    A turn is of several chunks, the first of which do not count: a robot has one policy, which
    finds in the caches what it has left there, and not what a larger one has.

    Args:
        policies: by name.
        chunks: how many to time of each.
        seen: observations to go through, the same for all; none takes noise.

    Returns:
        For each: ``gflops``; and for ``vision``, ``language``, ``head``, ``rest`` (resizing, noise,
        copying, composing poses) and ``total`` median, p95, p99 and max [ms].

    Raises:
        DistillError: no chunks.
    """
    if chunks < 1:
        raise DistillError("chunks", got=chunks, expected="at least 1")
    shown = {name: list(seen) or [_noise(policy)] for name, policy in policies.items()}
    memories = {name: policy.start(0) for name, policy in policies.items()}
    reports: dict[str, list[ComputeReport]] = {name: [] for name in policies}
    for begin in range(0, chunks, TURN):
        for name, policy in policies.items():
            for number in range(begin - WARM_UP, min(begin + TURN, chunks)):
                observation = shown[name][number % len(shown[name])]
                report = policy.infer([observation], [memories[name]])[0].report
                if number >= begin:
                    reports[name].append(report)
    return {name: _row(each) for name, each in reports.items()}


def _row(reports: Sequence[ComputeReport]) -> dict[str, Any]:
    row: dict[str, Any] = {"gflops": reports[-1].gflops}
    for stage in (*STAGES, "total"):
        row[stage] = percentiles([report.milliseconds[stage] for report in reports])
    row["rest"] = percentiles(
        [r.milliseconds["total"] - sum(r.milliseconds[s] for s in STAGES) for r in reports]
    )
    return row


def _random(preset: str, device: str) -> VlaPolicy:
    made = VlaPolicy.random(preset)
    return VlaPolicy(made.network, made.tokenizer, made.statistics, device=device)


def _noise(policy: VlaPolicy) -> Observation:
    rng = np.random.default_rng(0)
    shape = (policy.image_size, policy.image_size, 3)
    images = {name: rng.integers(0, 256, shape, np.uint8) for name in policy.cameras}
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.57, 0.0, 0.08, 0.08], np.float32)
    return Observation(images, state, "pick up the red cube", stamp=0.0)
