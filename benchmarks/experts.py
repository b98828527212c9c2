"""How often the scripted experts solve the tasks, with two controls that must never succeed.

python benchmarks/experts.py --episodes 200 --json benchmarks/results/experts.json
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from vla_distill.evaluation.machine import command, commit, cores, machine
from vla_distill.evaluation.statistics import wilson
from vla_distill.workers import worker_pool
from vla_sim.constants import CONTROL_DT
from vla_sim.experts import Expert
from vla_sim.experts.driver import StepDriver
from vla_sim.simulation import Simulation
from vla_sim.tasks import TASKS, Aim

IDLE_SECONDS = 3.0
"""How long the idle control waits for a success that must not come [s]."""


class Trial:
    """One world in which experts are tried."""

    def __init__(self) -> None:
        self.world = Simulation()
        self._driver = StepDriver(self.world)

    def expert(self, task: str, seed: int) -> tuple[bool, float]:
        """Whether the expert succeeds, and when it was done [s]."""
        self.world.reset(task, seed)
        return self._solve(seed)

    def wrong(self, task: str, seed: int) -> bool:
        """Whether an expert that goes for another object succeeds."""
        aim = self.world.reset(task, seed, swap=True).aim
        self.world.reset(task, seed)
        return self._solve(seed, aim)[0]

    def idle(self, task: str, seed: int) -> bool:
        """Whether doing nothing succeeds."""
        self.world.reset(task, seed)
        target, gripper = self.world.joint_target()
        for _ in range(round(IDLE_SECONDS / CONTROL_DT)):
            self.world.step(target, gripper)
        return self.world.status().success

    def _solve(self, seed: int, aim: Aim | None = None) -> tuple[bool, float]:
        expert = Expert(self.world, np.random.default_rng(seed), aim=aim)
        self._driver.reset()
        while not expert.done and self.world.time < self.world.episode.time_limit:
            self._driver.step(expert.act())
        return self.world.status().success, self.world.time


_trial: Trial


def _begin() -> None:
    """Make the world of this process."""
    global _trial
    _trial = Trial()


def _attempt(kind: str, task: str, seed: int) -> Any:
    return getattr(_trial, kind)(task, seed)


def measure(episodes: int, controls: int, processes: int) -> list[dict[str, object]]:
    """One row a task."""
    rows = []
    with worker_pool(processes, _begin) as pool:

        def all_of(kind: str, task: str, count: int) -> list[Any]:
            done = pool.map(functools.partial(_attempt, kind, task), range(count))
            return list(track(done, f"{task}: {kind}", total=count))

        for task in TASKS:
            start = time.perf_counter()
            results = all_of("expert", task, episodes)
            wall = (time.perf_counter() - start) * processes / episodes
            successes = sum(success for success, _ in results)
            interval = wilson(successes, episodes)
            rows.append(
                {
                    "name": task,
                    "success": interval.value,
                    "low": round(interval.low, 4),
                    "high": round(interval.high, 4),
                    "episodes": episodes,
                    "failed_seeds": [seed for seed, (good, _) in enumerate(results) if not good],
                    "mean_seconds": round(float(np.mean([seconds for _, seconds in results])), 2),
                    "core_seconds": round(wall, 3),
                    "idle_successes": sum(all_of("idle", task, controls)),
                    "wrong_object_successes": sum(all_of("wrong", task, controls)),
                    "control_episodes": controls,
                }
            )
            shown = ("name", "success", "low", "high", "mean_seconds")
            print({key: rows[-1][key] for key in shown})
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--episodes", type=int, default=200, help="seeds 0.. for each expert")
    parser.add_argument("--controls", type=int, default=50, help="seeds 0.. for each control")
    parser.add_argument("--processes", type=int, default=cores(), help="one a core by default")
    arguments = parser.parse_args()
    rows = measure(arguments.episodes, arguments.controls, arguments.processes)
    if arguments.json:
        record = {"tasks": rows, "commit": commit(), "machine": machine(), "command": command()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
