"""Which offline score on a bag predicts closed-loop success, and how well?

    mkdir -p runs/earlier
    git archive dbef29d checkpoints/teacher checkpoints/student | tar -x -C runs/earlier
    python benchmarks/offline_scores.py --json benchmarks/results/offline_scores.json

Makes a bag of demonstrations that nobody was trained on. The policies are the shipped ones, those
that they were trained on from (an earlier commit's), and both made cheaper and worse by recipes of
its own; others can stand beside them (``--policies``). Each policy is judged on the bag (``vla bag
eval``) and in closed loop (``vla eval``), in processes of their own; what is done already is kept
in ``--out`` and not done again, and an interrupted evaluation goes on. Then Spearman's rank
correlation between every score and success, with a percentile bootstrap over policies (95 %): over
all of them, and over the largest group of which all lie within 20 points of success, because among
very different policies every score looks good. The correlation between success on even and on odd
seeds says how much a perfect score could reach.
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
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, spearmanr

from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import wilson

MIN_POLICIES, MIN_CLOSE, CLOSE = 12, 6, 0.20
RESAMPLES = 2000
TASKS = "reach,pick,place,push,stack,open,press,catch"
SEED, EPISODES, BLOCK = 71_000, 12, 6
"""First seed, and episodes a task, of the closed loop; so many of them are done at a time."""
BAG_SEED, BAG_EPISODES = 9_000_000, 5
"""First seed, beyond those of any training set, and episodes a task of the bag."""
_ROUTER = {"layer_router": {"keep": 0.5, "hysteresis": 0.1}}
_STUDENT = {"layer_router": {"keep": 0.25, "hysteresis": 0.1}, "few_steps": {"steps": 2}}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "teacher_efficientvla": (
        "teacher",
        {
            "layer_importance": {"keep": 8},
            "mlp_sparsity": {"share": 0.25, "refit": True},
            "task_diversity": {"keep": 18},
            "head_cache": {"interval": 2},
        },
    ),
    "student_fast": ("student", {**_STUDENT, "task_diversity": {"keep": 30}}),
    "teacher_tokens_9": ("teacher", {"task_diversity": {"keep": 9}}),
    "teacher_layers_6": ("teacher", {"layer_importance": {"keep": 6}}),
    "teacher_sparse": ("teacher", {"mlp_sparsity": {"share": 0.5, "refit": True}}),
    "teacher_layers_4": ("teacher", {"layer_importance": {"keep": 4}}),
    "earlier_teacher_tokens_48": ("earlier_teacher", {"task_diversity": {"keep": 48}}),
    "earlier_teacher_tokens_36": ("earlier_teacher", {"task_diversity": {"keep": 36}}),
    "earlier_student_tokens_48": ("earlier_student", {**_ROUTER, "task_diversity": {"keep": 48}}),
    "earlier_student_steps_2": ("earlier_student", {**_ROUTER, "few_steps": {"steps": 2}}),
    "earlier_student_fast": (
        "earlier_student",
        {**_ROUTER, "task_diversity": {"keep": 18}, "head_cache": {"interval": 2}},
    ),
}
"""Policies made cheaper, and a little or a lot worse."""
VLA = [sys.executable, "-m", "vla_distill.cli.main"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add: Any = parser.add_argument
    add("--checkpoints", type=Path, default=Path("checkpoints"), help="folder of the shipped ones")
    add("--earlier", type=Path, default=Path("runs/earlier/checkpoints"), help="the earlier ones")
    add("--data", type=Path, default=Path("data/arx5_train"), help="the recipes are measured on it")
    add("--policies", type=Path, nargs="*", default=[], help="others beside them")
    add("--out", type=Path, default=Path("runs/offline_scores"), help="what is done")
    add("--tasks", default=TASKS, help="of bag and closed loop")
    add("--episodes", type=int, default=EPISODES, help="a task in closed loop: a multiple of 6")
    add("--processes", type=int, default=0, help="for the closed loop; 0 takes one a core")
    add("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    bag = make_bag(arguments.out, arguments.tasks)
    policies = make_policies(arguments)
    rows = []
    for number, (name, folder) in enumerate(policies.items()):
        print(f"{number + 1} of {len(policies)}: {name}", file=sys.stderr)
        rows.append(measure(name, folder, bag, arguments))
    close = closest([row["success"] for row in rows])
    near = [rows[index] for index in close]
    result = {
        "policies": len(rows),
        "within_20_points": len(near),
        "enough": len(rows) >= MIN_POLICIES and len(near) >= MIN_CLOSE,
        "all": compare(rows),
        "close": {"names": [row["name"] for row in near], **compare(near)},
        "rows": rows,
        "bag": {"first_seed": BAG_SEED, "episodes_a_task": BAG_EPISODES},
        "tasks": arguments.tasks,
        "seed": SEED,
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
        if not data.exists():
            subprocess.run([*VLA, "collect", *words, "--out", str(data)], check=True)
        subprocess.run([*VLA, "dataset", "to-bag", str(data), "--out", str(bag)], check=True)
    return bag


def make_policies(arguments: argparse.Namespace) -> dict[str, Path]:
    """Name and folder of every policy; those that a recipe makes are made."""
    found = {name: arguments.checkpoints / name for name in ("teacher", "student")}
    found |= {f"earlier_{name}": arguments.earlier / name for name in tuple(found)}
    for name, (base, methods) in RECIPES.items():
        folder = found[name] = arguments.out / "policies" / name
        if not folder.exists():
            recipe = arguments.out / f"{name}.yaml"
            recipe.write_text(yaml.safe_dump({"methods": methods}), encoding="utf-8")
            words = ["--policy", found[base], "--recipe", recipe, "--data", arguments.data]
            subprocess.run([*VLA, "accelerate", *map(str, words), "--out", str(folder)], check=True)
    return found | {str(folder): folder for folder in arguments.policies}


def measure(name: str, folder: Path, bag: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Offline scores and closed-loop outcomes of a policy."""
    place = arguments.out / name.replace("/", "_")
    judged = run(
        [*VLA, "bag", "eval", "--bag", str(bag), "--policy", str(folder)],
        place.with_suffix(".bag.json"),
    )
    outcomes = dict.fromkeys(arguments.tasks.split(","), "")
    for seed in range(SEED, SEED + arguments.episodes, BLOCK):
        words = ["--tasks", arguments.tasks, "--episodes", BLOCK, "--seed", seed]
        words += ["--processes", arguments.processes, "--out", f"{place}.{seed}"]
        closed = run(
            [*VLA, "eval", "--policy", str(folder), *map(str, words)],
            place.with_suffix(f".{seed}.json"),
        )
        for each in sorted(closed["episodes"], key=lambda e: e["seed"]):
            outcomes[each["task"]] += "01"[each["success"]]
    told = "".join(outcomes.values())
    interval = wilson(told.count("1"), len(told))
    return {
        "name": name,
        "success": interval.value,
        "low": interval.low,
        "high": interval.high,
        "scores": flat(judged["scores"]),
        "outcomes": outcomes,
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
            found[f"{key}.{part}"] = scores[key][part]
    found["gripper_f1"] = scores["gripper_f1"]
    found["observation_age_s.mean"] = scores["observation_age_s"]["mean"]
    for key in ("horizon_position_mm", "horizon_rotation_deg"):
        found[f"{key}.mean"] = float(np.mean(scores[key]))
        found[f"{key}.last"] = scores[key][-1]
    for key in ("limited", "refused"):
        found[f"gate.{key}"] = scores["gate"][key] / scores["gate"]["targets"]
    found["compute.gflops"] = scores["compute"]["gflops"]
    return found


def closest(success: Sequence[float]) -> list[int]:
    """Indices of the largest group that lies within :data:`CLOSE`; of equal ones the best."""
    values = np.asarray(success)
    groups = [np.flatnonzero((values <= top) & (values >= top - CLOSE - 1e-9)) for top in values]
    best = max(groups, key=lambda group: (len(group), values[group].max()))
    return [int(index) for index in best]


def compare(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rank correlation of each score with success, best first by its size, and the ceiling."""
    success = np.array([row["success"] for row in rows])
    found = []
    for name in rows[0]["scores"]:
        values = np.array([row["scores"][name] for row in rows], float)
        value, low, high = rank_correlation(values, success)
        found.append({"score": name, "spearman": value, "low": low, "high": high})
    value, low, high = rank_correlation(*(half(rows, start) for start in (0, 1)))
    return {
        "correlations": sorted(found, key=lambda row: -abs(row["spearman"] or 0.0)),
        "even_against_odd_seeds": {"spearman": value, "low": low, "high": high},
    }


def half(rows: Sequence[Mapping[str, Any]], start: int) -> NDArray[np.float64]:
    """Success of each policy on every second seed, mean over tasks. Shape (N,)."""
    tasks = [[each[start::2] for each in row["outcomes"].values()] for row in rows]
    return np.array([np.mean([each.count("1") / len(each) for each in own]) for own in tasks])


def rank_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64]
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
