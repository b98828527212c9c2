"""Which offline score on a bag predicts closed-loop success, and how well?

    python benchmarks/offline_scores.py --bag held_out.mcap --out runs/offline_scores \
        --policies runs/train/arx5/step_* runs/pruned/* checkpoints/student --episodes 100

Each policy is judged on the bag (``vla bag eval``) and in closed loop (``vla eval``), in processes
of their own; what is done already is kept in ``--out`` and not done again. Then Spearman's rank
correlation between every score and success, with a percentile bootstrap over policies (95 %). At
least 12 policies, of which 6 lie within 20 points of success of each other: among very different
policies every score looks good.
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
from scipy.stats import ConstantInputWarning, spearmanr

from vla_distill.evaluation.machine import command, commit, machine

MIN_POLICIES, MIN_CLOSE, CLOSE = 12, 6, 0.20
RESAMPLES = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bag", type=Path, required=True, help="held out, not of training seeds")
    parser.add_argument("--policies", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is done already")
    parser.add_argument("--episodes", type=int, default=100, help="closed-loop episodes a task")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, policy in enumerate(arguments.policies):
        print(f"{number + 1} of {len(arguments.policies)}: {policy}", file=sys.stderr)
        rows.append(measure(policy, arguments.bag, arguments.out, arguments.episodes))
    result = {
        "rows": rows,
        "correlations": correlations(rows),
        **coverage([row["success"] for row in rows]),
        "bag": str(arguments.bag),
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


def measure(policy: Path, bag: Path, out: Path, episodes: int) -> dict[str, Any]:
    name = "_".join(policy.resolve().parts[-3:])
    vla = [sys.executable, "-m", "vla_distill.cli.main"]
    judged = run([*vla, "bag", "eval", "--bag", str(bag), "--policy", str(policy)],
                 out / f"{name}.{bag.stem}.bag.json")  # fmt: skip
    closed = run([*vla, "eval", "--policy", str(policy), "--episodes", str(episodes)],
                 out / f"{name}.{episodes}.closed.json")  # fmt: skip
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
