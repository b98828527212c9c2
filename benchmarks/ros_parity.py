"""The same episodes in this process and through the ROS graph in lockstep: is there a difference?

python benchmarks/ros_parity.py --json benchmarks/results/ros_parity.json

Both sides use the same player, inverse kinematics, gate and seeds; the ROS side adds messages,
nodes and clocks. The claim is that the difference of the success rates lies, with its paired 95 %
interval, within 10 points.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.rollout import run
from vla_distill.evaluation.statistics import Interval, paired_bootstrap, paired_difference, wilson
from vla_distill.graph import launched
from vla_policy_node.client import SimulationClient
from vla_policy_node.policy_source import make_policy

TASKS = ("reach", "pick", "place")
CLAIM = 0.10
"""The interval of the difference shall lie within this."""
READY_SECONDS = 180.0


@dataclass(frozen=True)
class Row:
    """One episode: success and simulated seconds on either side."""

    task: str
    seed: int
    instruction: str
    success: bool
    seconds: float


Side = tuple[list[Row], float]
"""Episodes, and how many a minute of wall-clock time there were, start-up left out."""


def in_process(policy: str, device: str, tasks: Sequence[str], seeds: Sequence[int]) -> Side:
    """Run all episodes with the evaluation's rollout, one at a time as the robot does."""
    made = make_policy(policy, device)
    wanted = [(task, seed) for task in tasks for seed in seeds]
    rows, start = [], time.perf_counter()
    for task, seed in track(wanted, "in this process"):
        result = run(made, [task], [seed], batch=1)[0]
        rows.append(Row(task, seed, result.instruction, result.success, result.seconds))
    return rows, rate(rows, start)


def through_ros(policy: str, device: str, tasks: Sequence[str], seeds: Sequence[int]) -> Side:
    """Run all episodes through sim_node, arm_node and policy_node in lockstep."""
    wanted = [(task, seed) for task in tasks for seed in seeds]
    rows = []
    words = [f"policy:={policy}", f"device:={device}", "mode:=lockstep", "log_level:=warn"]
    with launched(words), SimulationClient() as client:
        client.wait_until_ready(READY_SECONDS)
        start = time.perf_counter()
        for task, seed in track(wanted, "through ROS"):
            scene = client.reset(task, seed)
            outcome = client.execute(scene.instruction, scene.time_limit, seed=seed)
            rows.append(Row(task, seed, scene.instruction, outcome.success, outcome.seconds))
        return rows, rate(rows, start)


def rate(rows: Sequence[Row], start: float) -> float:
    return round(60.0 * len(rows) / (time.perf_counter() - start), 2)


def compare(mine: Sequence[Row], ros: Sequence[Row]) -> dict[str, Any]:
    """Rates, their paired difference (ROS minus in-process), and that of the seconds."""
    first, second = [row.success for row in mine], [row.success for row in ros]
    difference = paired_difference(first, second)
    seconds = paired_bootstrap([row.seconds for row in mine], [row.seconds for row in ros])
    return {
        "in_process": entry(wilson(sum(first), len(first))),
        "ros": entry(wilson(sum(second), len(second))),
        "difference": entry(difference),
        "difference_seconds": entry(seconds),
        "same_outcome": sum(a == b for a, b in zip(first, second, strict=True)),
        "same_seconds": sum(
            abs(a.seconds - b.seconds) < 1e-3 for a, b in zip(mine, ros, strict=True)
        ),
        "episodes": len(first),
        "within_claim": difference.low >= -CLAIM and difference.high <= CLAIM,
    }


def entry(interval: Interval) -> dict[str, float]:
    return {
        "value": round(interval.value, 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
    }


def main() -> None:
    """Run both sides, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default="checkpoints/teacher", help="checkpoint folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, with commas between")
    parser.add_argument("--episodes", type=int, default=100, help="seeds, shared by all tasks")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    # A polite kill ends the nodes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    policy = arguments.policy
    if Path(policy).is_dir():
        policy = str(Path(policy).resolve())
    tasks = arguments.tasks.split(",")
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    sides, rates = [], {}
    for name, side in (("in_process", in_process), ("ros", through_ros)):
        rows, rates[name] = side(policy, arguments.device, tasks, seeds)
        sides.append(rows)
    result = compare(*sides)
    for name in ("in_process", "ros", "difference"):
        value = result[name]
        print(f"{name:12s} {value['value']:+.3f}  [{value['low']:+.3f}, {value['high']:+.3f}]")
    print(f"same outcome {result['same_outcome']} of {result['episodes']}")
    if arguments.json:
        record = {
            **result,
            "episodes_per_minute": rates,
            "tasks": tasks,
            "seeds": [seeds.start, seeds.stop - 1],
            "rows": [
                {
                    "task": a.task,
                    "seed": a.seed,
                    "instruction": a.instruction,
                    "in_process": {"success": a.success, "seconds": round(a.seconds, 3)},
                    "ros": {"success": b.success, "seconds": round(b.seconds, 3)},
                }
                for a, b in zip(*sides, strict=True)
            ],
            "policy": arguments.policy,
            "commit": commit(),
            "machine": machine(),
            "command": command(),
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
