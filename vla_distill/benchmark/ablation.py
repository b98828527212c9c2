"""Recipes against each other: success with and without the cost of time, operations, speed.

Everything is kept in a work folder (accelerated policies, journals of the episodes, times), so that
an interrupted ablation goes on. All rows see the same seeds, and differences are paired.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_distill.benchmark.flops import count
from vla_distill.benchmark.latency import STAGES, time_in_turns
from vla_distill.calibration import draw_observations
from vla_distill.errors import DistillError
from vla_distill.evaluation.evaluation import Evaluation, EvaluationConfig, evaluate
from vla_distill.evaluation.statistics import paired_difference, wilson
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe, read_recipe
from vla_policy.model.policy import VlaPolicy

PLAIN, SCRATCH = "plain", "small_scratch"
RECIPES = (
    "efficientvla", "random_tokens", "uniform_tokens", "deepest_layers", "random_layers",
    "few_steps", "fastv", "vla_cache",
)  # fmt: skip
"""Rows after the plain policy, in order."""
LATENCIES = ("none", "measured")
TEXT_TOKENS = 8
"""Words of a usual instruction of the suite, where stages are counted."""


@dataclass(frozen=True)
class AblationConfig:
    """What to compare.

    Attributes:
        policy: folder of the plain policy.
        data: dataset to calibrate on.
        work: where everything is kept.
        recipes: names or files.
        small_scratch: folder of a small policy trained from scratch, or None.
        tasks: names of tasks.
        episodes: episodes a task.
        seed: first seed.
        samples: observations to calibrate on.
        chunks: chunks timed of each policy.
        processes: processes that evaluate.
    """

    policy: Path
    data: Path
    work: Path
    tasks: Sequence[str]
    recipes: Sequence[str] = RECIPES
    small_scratch: Path | None = None
    episodes: int = 100
    seed: int = 0
    samples: int = 256
    chunks: int = 200
    processes: int = 1


def run(config: AblationConfig) -> Iterator[dict[str, Any]]:
    """Make the table, row by row; a row stands when it is yielded.

    Yields:
        ``name``; ``success``, ``low``, ``high`` with latency none, the same as ``measured_*`` with
        this machine's latency; ``difference`` and ``measured_difference`` to the plain policy,
        paired, each with ``value``, ``low``, ``high``; ``gflops``, ``flops_ratio``; ``ms`` by
        stage, ``speedup`` and ``amdahl_bound``, the speed-up if every stage's time fell as its
        operations do; ``outcomes`` by task.

    Raises:
        DistillError: the work folder holds policies of another plain policy.
        PolicyError: a recipe or policy is not there or does not fit.
    """
    folders = dict(_prepare(config))
    times = _times(config, folders)
    plain: dict[str, Evaluation] = {}
    base_gflops = 0.0
    for name, folder in folders.items():
        row: dict[str, Any] = {"name": name, **times[name]}
        for latency in LATENCIES:
            found = _evaluate(config, name, folder, latency)
            if name == PLAIN:
                plain[latency] = found
            prefix = "" if latency == "none" else f"{latency}_"
            row |= _success(found, plain[latency], prefix)
            if latency == "none":
                summary = found.summary()
                row["gflops"] = summary["gflops_per_chunk"]
                base_gflops = base_gflops or row["gflops"]
                row["flops_ratio"] = row["gflops"] / base_gflops
        yield row


def _prepare(config: AblationConfig) -> Iterator[tuple[str, Path]]:
    """Folder of each policy by the row's name; accelerates those that are not there yet."""
    yield PLAIN, config.policy
    plain = load_policy(config.policy)
    seen: list[Observation] = []
    for source in config.recipes:
        recipe = read_recipe(source)
        folder = config.work / "policies" / recipe.name
        if not (folder / "config.json").is_file():
            seen = seen or draw_observations(config.data, config.samples)
            save_policy(accelerate(plain, recipe, seen), folder)
        made = _recipe_of(load_policy(folder))
        if made.origin != plain.policy_hash or made.methods != recipe.methods:
            raise DistillError(
                f"{folder}",
                got=f"another recipe, or one for the policy {made.origin}",
                expected=f"{recipe.name} for {plain.policy_hash}: remove the folder",
            )
        yield recipe.name, folder
    if config.small_scratch is not None:
        yield SCRATCH, config.small_scratch


def _times(config: AblationConfig, folders: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Milliseconds, speed-up and its bound; measured once, before the machine is busy."""
    path = config.work / "times.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    if set(known) >= set(folders):
        return known
    policies = {name: load_policy(folder) for name, folder in folders.items()}
    base = policies[PLAIN]
    times = time_in_turns(policies, config.chunks)
    whole = count(base.config, Recipe(), TEXT_TOKENS)["stages"]
    rows: dict[str, dict[str, Any]] = {}
    spent = {stage: times[PLAIN][stage]["median"] for stage in STAGES}
    total = times[PLAIN]["total"]["median"]
    for name, policy in policies.items():
        left = count(base.config, _recipe_of(policy), TEXT_TOKENS)["stages"]
        if name == SCRATCH:
            left = count(policy.config, Recipe(), TEXT_TOKENS)["stages"]
        bound = total - sum(spent[s] * (1.0 - left[s] / whole[s]) for s in STAGES)
        rows[name] = {
            "ms": {stage: times[name][stage] for stage in (*STAGES, "rest", "total")},
            "speedup": total / times[name]["total"]["median"],
            "amdahl_bound": total / bound,
        }
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def _evaluate(config: AblationConfig, name: str, folder: Path, latency: str) -> Evaluation:
    evaluation = EvaluationConfig(
        tasks=config.tasks,
        episodes=config.episodes,
        seed=config.seed,
        latency=latency,
        processes=config.processes,
        out=config.work / f"{name}_{latency}",
    )
    return evaluate(functools.partial(load_policy, folder), evaluation)


def _success(found: Evaluation, plain: Evaluation, prefix: str) -> dict[str, Any]:
    """Mean over all episodes with its interval, and the paired difference to the plain policy."""
    won = [result.success for result in found.results]
    rate = wilson(sum(won), len(won))
    difference = paired_difference([result.success for result in plain.results], won)
    tasks = dict.fromkeys(result.task for result in found.results)
    return {
        f"{prefix}success": rate.value,
        f"{prefix}low": rate.low,
        f"{prefix}high": rate.high,
        f"{prefix}difference": asdict(difference),
        f"{prefix}outcomes": {
            task: "".join("01"[r.success] for r in found.results if r.task == task)
            for task in tasks
        },
    }


def _recipe_of(policy: VlaPolicy) -> Recipe:
    return getattr(policy.plan, "recipe", Recipe())
