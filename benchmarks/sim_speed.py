"""How fast the simulated world is: rendered frames, physics against real time, resets.

python benchmarks/sim_speed.py --json benchmarks/results/sim_speed.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from vla_distill.evaluation.machine import command, commit, machine
from vla_sim.constants import CAMERAS, CONTROL_DT, IMAGE_SIZE, STEP_DT
from vla_sim.simulation import Simulation

TARGETS = {"frames_per_second": 300.0, "physics_real_time_factor": 20.0}
"""What the project asks for."""
TICKS = round(STEP_DT / CONTROL_DT)


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls a second, over about ``seconds`` after three calls to warm up."""
    for _ in range(3):
        work()
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        work()
        count += 1
    return count / elapsed


def measure(seconds: float) -> dict[str, float]:
    """All numbers, each measured for ``seconds`` in the scene of the placing task."""
    world = Simulation()
    world.reset("place", 0)
    target, gripper = world.joint_target()
    seeds = iter(range(10**9))

    def tick() -> None:
        world.step(target, gripper)

    def step() -> None:
        for _ in range(TICKS):
            tick()
        for camera in CAMERAS:
            world.render(camera)

    result = {
        "frames_per_second": rate(lambda: world.render("front"), seconds),
        "wrist_frames_per_second": rate(lambda: world.render("wrist"), seconds),
        "physics_real_time_factor": rate(tick, seconds) * CONTROL_DT,
        "episode_real_time_factor": rate(step, seconds) * STEP_DT,
        "resets_per_second": rate(lambda: world.reset("place", next(seeds)), seconds),
    }
    world.close()
    return result


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each number [s]")
    arguments = parser.parse_args()
    numbers = {name: round(value, 1) for name, value in measure(arguments.seconds).items()}
    for name, value in numbers.items():
        asked = f"   (asked: {TARGETS[name]:.0f})" if name in TARGETS else ""
        print(f"{name:28s} {value:10.1f}{asked}")
    if arguments.json:
        record = {
            **numbers,
            "image_size": IMAGE_SIZE,
            "targets": TARGETS,
            "commit": commit(),
            "machine": machine(),
            "command": command(),
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
