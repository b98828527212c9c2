"""Policies against a plain one: success with and without the cost of time, operations, speed.

Journals of the episodes and times are kept in a work folder, so that an interrupted comparison goes
on. All policies see the same seeds, and differences are paired.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vla_distill.benchmark.flops import count
from vla_distill.benchmark.latency import STAGES, time_in_turns
from vla_distill.errors import DistillError
from vla_distill.evaluation.evaluation import Evaluation, EvaluationConfig, evaluate
from vla_distill.evaluation.statistics import paired_difference, wilson
from vla_policy.checkpoint import load_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.recipe import Recipe
from vla_policy.model.policy import VlaPolicy

PLAIN = "plain"
LATENCIES = ("none", "measured")
TEXT_TOKENS = 8
"""Words of a usual instruction of the suite, where stages are counted."""


@dataclass(frozen=True)
class ComparisonConfig:
    """How to compare.

    Attributes:
        work: where everything is kept.
        tasks: names of tasks.
        episodes: episodes a task.
        seed: first seed.
        chunks: chunks timed of each policy.
        processes: processes that evaluate.
        latencies: of :data:`LATENCIES`, those to evaluate with; ``none`` is among them.
    """

    work: Path
    tasks: Sequence[str]
    episodes: int = 100
    seed: int = 0
    chunks: int = 200
    processes: int = 1
    latencies: Sequence[str] = LATENCIES


def compare(
    config: ComparisonConfig,
    folders: Mapping[str, Path],
    draw: Callable[[], Sequence[Observation]] = tuple,
    known: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    """Make the table, row by row; a row stands when it is yielded.

    Args:
        config: how.
        folders: of the policies by name, the plain one (:data:`PLAIN`) first.
        draw: gives observations to time chunks on, where what runs depends on them; none takes
            noise.
        known: rows that were made before on the same episodes, by name, the plain one among them.
            They stand; folders of the same names are left out.

    Yields:
        Of each policy that is not known: ``name``; ``success``, ``low``, ``high`` with latency
        none, the same as ``measured_*`` with this machine's latency; ``difference`` and
        ``measured_difference`` to the plain policy, paired, each with ``value``, ``low``,
        ``high`` (``measured_*`` only if asked for); ``gflops``, ``flops_ratio``; ``ms`` by
        stage, ``speedup`` and ``amdahl_bound``, the speed-up if every stage's time fell as its
        operations do; ``outcomes`` by task; ``policy_hash``, and ``chunks`` timed.

    Raises:
        DistillError: other latencies.
        PolicyError: a policy is not there.
    """
    if "none" not in config.latencies or not set(config.latencies) <= set(LATENCIES):
        raise DistillError("latencies", got=config.latencies, expected=f"none, of {LATENCIES}")
    new = {name: folder for name, folder in folders.items() if name not in known}
    times = _times(config, {PLAIN: folders[PLAIN], **new}, draw) if new else {}
    plain = known.get(PLAIN)
    for name, folder in new.items():
        row = {"name": name, **times[name], **_evaluated(config, name, folder, plain)}
        plain = plain or row
        yield row


def _evaluated(
    config: ComparisonConfig, name: str, folder: Path, plain: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a policy's episodes say, against the plain policy's row; without one, against itself."""
    row: dict[str, Any] = {}
    for latency in config.latencies:
        found = _evaluate(config, name, folder, latency)
        prefix = "" if latency == "none" else f"{latency}_"
        row |= _success(found, won(plain, prefix) if plain else None, prefix)
        if latency == "none":
            row["gflops"] = found.summary()["gflops_per_chunk"]
            row["flops_ratio"] = row["gflops"] / (plain or row)["gflops"]
    return row


def _times(
    config: ComparisonConfig,
    folders: Mapping[str, Path],
    draw: Callable[[], Sequence[Observation]],
) -> dict[str, dict[str, Any]]:
    """Milliseconds, speed-up and its bound; measured once, before the machine is busy.

    One that comes later, or is another than it was, is timed in turns with the plain one again.
    """
    path = config.work / "times.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    policies = {name: load_policy(folder) for name, folder in folders.items()}
    of = {name: (policy.policy_hash, config.chunks) for name, policy in policies.items()}
    told = {name: (row.get("policy_hash"), row.get("chunks")) for name, row in before.items()}
    if told.items() >= of.items():
        return before
    rows = time_all(policies, config.chunks, draw())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(before | rows, indent=1) + "\n", encoding="utf-8")
    return rows


def time_all(
    policies: Mapping[str, VlaPolicy], chunks: int, seen: Sequence[Observation]
) -> dict[str, dict[str, Any]]:
    """What rows say of time, of policies timed in turns.

    Args:
        policies: by name, the plain one (:data:`PLAIN`) among them.
        chunks: timed of each.
        seen: observations to time them on; none takes noise.

    Returns:
        By name: ``ms``, ``speedup``, ``amdahl_bound``, ``policy_hash`` and ``chunks``, see
        :func:`compare`.
    """
    base = policies[PLAIN]
    times = time_in_turns(policies, chunks, seen)
    whole = count(base.config, Recipe(), TEXT_TOKENS)["stages"]
    rows: dict[str, dict[str, Any]] = {}
    spent = {stage: times[PLAIN][stage]["median"] for stage in STAGES}
    total = times[PLAIN]["total"]["median"]
    for name, policy in policies.items():
        recipe = recipe_of(policy)
        sizes = base.config if recipe.methods else policy.config  # plain ones may be smaller
        left = count(sizes, recipe, TEXT_TOKENS)["stages"]
        bound = total - sum(spent[s] * (1.0 - left[s] / whole[s]) for s in STAGES)
        rows[name] = {
            "ms": {stage: times[name][stage] for stage in (*STAGES, "rest", "total")},
            "speedup": total / times[name]["total"]["median"],
            "amdahl_bound": total / bound,
            "policy_hash": policy.policy_hash,
            "chunks": chunks,
        }
    return rows


def _evaluate(config: ComparisonConfig, name: str, folder: Path, latency: str) -> Evaluation:
    evaluation = EvaluationConfig(
        tasks=config.tasks,
        episodes=config.episodes,
        seed=config.seed,
        latency=latency,
        processes=config.processes,
        out=config.work / f"{name}_{latency}",
    )
    return evaluate(functools.partial(load_policy, folder), evaluation)


def _success(found: Evaluation, plain: list[bool] | None, prefix: str) -> dict[str, Any]:
    """Mean over all episodes with its interval, and the paired difference to the plain policy."""
    wins = [result.success for result in found.results]
    rate = wilson(sum(wins), len(wins))
    difference = paired_difference(plain or wins, wins)
    return {
        f"{prefix}success": rate.value,
        f"{prefix}low": rate.low,
        f"{prefix}high": rate.high,
        f"{prefix}difference": asdict(difference),
        f"{prefix}outcomes": found.outcomes,
    }


def won(row: Mapping[str, Any], prefix: str = "") -> list[bool]:
    """Whether each episode of a row succeeded, task by task; ``measured_`` with latency."""
    outcomes = row[f"{prefix}outcomes"].values()
    return [letter == "1" for letters in outcomes for letter in letters]


def recipe_of(policy: VlaPolicy) -> Recipe:
    """What the policy follows; the empty recipe if it is plain."""
    return getattr(policy.plan, "recipe", Recipe())
