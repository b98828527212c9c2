"""Which offline score on a bag predicts closed-loop success, and how well?

    python benchmarks/offline_scores.py --policy checkpoints/teacher --data data/arx5_train \\
        --policies runs/train/teacher_first/policy --json benchmarks/results/offline_scores.json

Makes a bag of demonstrations that nobody was trained on, and policies that are worse than the given
one, by recipes of its own; others can stand beside them. Each policy is judged on the bag (``vla
bag eval``) and in closed loop (``vla eval``), in processes of their own; what is done already is
kept in ``--out`` and not done again. Then Spearman's rank correlation between every score and
success, with a percentile bootstrap over policies (95 %). At least 12 policies, of which 6 lie
within 20 points of success of each other: among very different policies every score looks good.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import ConstantInputWarning, spearmanr

from vla_distill.evaluation.machine import command, commit, machine

MIN_POLICIES, MIN_CLOSE, CLOSE = 12, 6, 0.20
RESAMPLES = 2000
TASKS = "pick,push,stack,open"
"""Easy and hard ones, of which each can be damaged."""
BAG_SEED, BAG_EPISODES = 9_000_000, 5
"""First seed, beyond those of any training set, and episodes a task of the bag."""
RECIPES: dict[str, dict[str, Any]] = {
    "layers_11": {"layer_importance": {"keep": 11}},
    "layers_10": {"layer_importance": {"keep": 10}},
    "layers_9": {"layer_importance": {"keep": 9}},
    "layers_8": {"layer_importance": {"keep": 8}},
    "deepest_10": {"deepest_layers": {"keep": 10}},
    "tokens_36": {"task_diversity": {"keep": 36}},
    "tokens_24": {"task_diversity": {"keep": 24}},
    "any_48_tokens": {"random_tokens": {"keep": 48}},
    "any_36_tokens": {"random_tokens": {"keep": 36}},
    "steps_2": {"few_steps": {"steps": 2}},
    "steps_1": {"few_steps": {"steps": 1}},
    "sparse": {"mlp_sparsity": {"share": 0.25, "refit": True}},
}
"""Ways to make the shipped teacher worse, a little or a lot."""
VLA = [sys.executable, "-m", "vla_distill.cli.main"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, default=Path("checkpoints/teacher"))
    parser.add_argument("--data", type=Path, default=Path("data/arx5_train"))
    parser.add_argument("--policies", type=Path, nargs="*", default=[], help="others beside them")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/offline_scores"), help="what is done"
    )
    parser.add_argument("--tasks", default=TASKS, help="of bag and closed loop")
    parser.add_argument("--episodes", type=int, default=50, help="closed-loop episodes a task")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    bag = make_bag(arguments.out, arguments.tasks)
    policies = [arguments.policy, *make_policies(arguments), *arguments.policies]
    rows = []
    for number, policy in enumerate(policies):
        print(f"{number + 1} of {len(policies)}: {policy}", file=sys.stderr)
        rows.append(measure(policy, bag, arguments))
    result = {
        "rows": rows,
        "correlations": correlations(rows),
        **coverage([row["success"] for row in rows]),
        "bag": {"first_seed": BAG_SEED, "episodes_a_task": BAG_EPISODES},
        "tasks": arguments.tasks,
        "episodes": arguments.episodes,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")
    return 0 if result["enough"] else 1


def make_bag(out: Path, tasks: str) -> Path:
    """Demonstrations with drift and errors, as a bag."""
    data, bag = out / "demonstrations", out / "demonstrations.mcap"
    if not bag.exists():
        words = ["--tasks", tasks, "--episodes", str(BAG_EPISODES), "--seed", str(BAG_SEED)]
        subprocess.run([*VLA, "collect", *words, "--out", str(data)], check=True)
        subprocess.run([*VLA, "dataset", "to-bag", str(data), "--out", str(bag)], check=True)
    return bag


def make_policies(arguments: argparse.Namespace) -> list[Path]:
    """The policy, made worse by each recipe."""
    folders = []
    for name, methods in RECIPES.items():
        folder = arguments.out / "policies" / name
        if not folder.exists():
            recipe = arguments.out / f"{name}.yaml"
            recipe.write_text(yaml.safe_dump({"methods": methods}), encoding="utf-8")
            words = ["--policy", arguments.policy, "--recipe", recipe, "--data", arguments.data]
            subprocess.run([*VLA, "accelerate", *map(str, words), "--out", str(folder)], check=True)
        folders.append(folder)
    return folders


def measure(policy: Path, bag: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Offline scores and closed-loop success of a policy."""
    name = "_".join(policy.resolve().parts[-3:])
    judged = run([*VLA, "bag", "eval", "--bag", str(bag), "--policy", str(policy)],
                 arguments.out / f"{name}.bag.json")  # fmt: skip
    words = ["--tasks", arguments.tasks, "--episodes", str(arguments.episodes)]
    closed = run([*VLA, "eval", "--policy", str(policy), *words],
                 arguments.out / f"{name}.{arguments.episodes}.closed.json")  # fmt: skip
    return {
        "policy": str(policy),
        "success": closed["mean_success"],
        "scores": flat(judged["scores"]),
    }


def run(words: Sequence[str], path: Path) -> dict[str, Any]:
    """Run a command that leaves JSON, unless it has."""
    if not path.exists():
        part = path.with_suffix(".part")
        subprocess.run([*words, "--json", str(part)], check=True)
        os.replace(part, path)
    return json.loads(path.read_text())


def flat(scores: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers among the scores, each with a name of its own."""
    found: dict[str, float] = {}
    for key in ("position_error_mm", "rotation_error_deg", "gripper_error_mm", "seam_jump_mm"):
        for part in ("mean", "median", "p95", "max"):
            if (value := scores[key][part]) is not None:
                found[f"{key}.{part}"] = value
    if scores["gripper_f1"] is not None:
        found["gripper_f1"] = scores["gripper_f1"]
    for key in ("horizon_position_mm", "horizon_rotation_deg"):
        if (value := scores[key][-1]) is not None:
            found[f"{key}.last"] = value
    return found


def coverage(success: Sequence[float]) -> dict[str, Any]:
    """Whether the policies are enough for the question."""
    ordered = np.sort(success)
    close = max((int(((ordered >= x) & (ordered <= x + CLOSE)).sum()) for x in ordered), default=0)
    enough = len(ordered) >= MIN_POLICIES and close >= MIN_CLOSE
    return {"policies": len(ordered), "within_20_points": close, "enough": enough}


def correlations(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rank correlation of each score with success, best first by its size."""
    names = set.intersection(*(set(row["scores"]) for row in rows)) if rows else set()
    success = np.array([row["success"] for row in rows])
    found = []
    for name in sorted(names):
        values = np.array([row["scores"][name] for row in rows])
        value, low, high = rank_correlation(values, success)
        found.append({"score": name, "spearman": value, "low": low, "high": high})
    return sorted(found, key=lambda row: -abs(row["spearman"] or 0.0))


def rank_correlation(
    first: np.ndarray, second: np.ndarray
) -> tuple[float | None, float | None, float | None]:
    """Spearman's rho and its bootstrap interval; None where a side does not vary."""
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        value = float(spearmanr(first, second).statistic)
        picks = rng.integers(0, len(first), (RESAMPLES, len(first)))
        draws = np.array([spearmanr(first[p], second[p]).statistic for p in picks])
    if not np.isfinite(value):
        return None, None, None
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return value, float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
