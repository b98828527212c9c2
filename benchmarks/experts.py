"""How often the scripted experts solve the tasks, with two controls that must never succeed.

python benchmarks/experts.py --episodes 200 --json benchmarks/results/experts.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import wilson
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


def measure(episodes: int, controls: int) -> list[dict[str, object]]:
    """One row a task."""
    trial, rows = Trial(), []
    for task in TASKS:
        start = time.perf_counter()
        results = [trial.expert(task, seed) for seed in range(episodes)]
        wall = (time.perf_counter() - start) / episodes
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
                "wall_seconds": round(wall, 3),
                "idle_successes": sum(trial.idle(task, seed) for seed in range(controls)),
                "wrong_object_successes": sum(trial.wrong(task, seed) for seed in range(controls)),
                "control_episodes": controls,
            }
        )
        print({key: rows[-1][key] for key in ("name", "success", "low", "high", "mean_seconds")})
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--episodes", type=int, default=200, help="seeds 0.. for each expert")
    parser.add_argument("--controls", type=int, default=50, help="seeds 0.. for each control")
    arguments = parser.parse_args()
    rows = measure(arguments.episodes, arguments.controls)
    if arguments.json:
        record = {"tasks": rows, "commit": commit(), "machine": machine(), "command": command()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
