"""The seams between chunks, by four ways of joining them and with latency: smooth? successful?

python benchmarks/chunk_seams.py --json benchmarks/results/chunk_seams.json \
    --page docs/results/chunk_seams.md

Latency-true: the world goes on while the policy thinks, for the time that a chunk takes here plus
some that is added; real-time chunking pays for its guidance. All rows run the same seeds. The last
rows lose, delay and reorder chunks on their way. An interrupted run goes on with the next row. What
a chunk takes is measured once, before the first row: ``--rows 0`` does that alone, on a quiet
machine.

With latency, a chunk that repeats what is frozen has no jump where it takes over, by construction;
whether it only comes later shows in the roughness, the mean change of velocity over all ticks.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _seams_page import draw, page

os.environ.setdefault("MUJOCO_GL", "egl")  # scenes are drawn without a screen

from rich.progress import track

from vla_distill.evaluation import latency as latencies
from vla_distill.evaluation.episode import EpisodeResult, specs
from vla_distill.evaluation.evaluation import moments
from vla_distill.evaluation.latency import Latency
from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.rollout import RolloutConfig, run
from vla_distill.evaluation.statistics import (
    paired_bootstrap,
    paired_difference,
    percentiles,
    wilson,
)
from vla_policy.checkpoint import load_policy
from vla_policy.chunk_stream import StreamFaults
from vla_policy.contract import Policy

CHUNKINGS = ("switch", "fade", "rtc", "ensemble")
ADDED_MS = (0, 100, 300)
BAD_LINK = StreamFaults(delay=0.05, jitter=0.1, loss=0.3, reordering=0.3)
CLAIM = 0.5
"""The jump with real-time chunking shall be at most this share of plain switching's."""


def own_latency(
    policy: Policy, arguments: argparse.Namespace, names: Sequence[str]
) -> dict[str, list[float]]:
    """What a chunk takes here with some ways of joining them [ms]."""
    scene = moments(policy, specs(arguments.tasks.split(","), [arguments.seed])[0])
    return {
        name: latencies.measure(policy, scene, repeats=arguments.chunks, chunking=name)
        for name in names
    }


def play(
    policy: Policy,
    arguments: argparse.Namespace,
    own_ms: Sequence[float],
    chunking: str,
    added_ms: int,
    bad_link: bool,
) -> list[EpisodeResult]:
    """Run the episodes of a row."""
    latency = Latency(tuple(1e-3 * (ms + added_ms) for ms in own_ms), f"measured + {added_ms}")
    config = RolloutConfig(
        latency=latency, chunking=chunking, faults=BAD_LINK if bad_link else StreamFaults()
    )
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    return run(policy, arguments.tasks.split(","), seeds, arguments.batch, config=config)


def row(results: list[EpisodeResult]) -> dict[str, Any]:
    """The numbers of a row."""
    rate = wilson(sum(one.success for one in results), len(results))
    return {
        "success": rate.value,
        "low": rate.low,
        "high": rate.high,
        "seam_jump": percentiles([one.seam_jump for one in results]),
        "roughness_mean": float(np.mean([one.roughness for one in results])),
        "seam_jump_mean": float(np.mean([one.seam_jump for one in results])),
        "refused": sum(one.refused for one in results),
        "starved": sum(one.starved for one in results),
        "gflops": float(np.mean([one.gflops for one in results])),
        "episodes": [[one.task, one.seed, one.success, one.seam_jump] for one in results],
    }


def compare(plain: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A row against plain switching on the same seeds and latency, with 95 % intervals."""
    success = [[episode[2] for episode in one["episodes"]] for one in (other, plain)]
    jumps = [[episode[3] for episode in one["episodes"]] for one in (other, plain)]
    ratio = other["seam_jump_mean"] / max(plain["seam_jump_mean"], 1e-9)
    won, jump = paired_difference(success[1], success[0]), paired_bootstrap(jumps[1], jumps[0])
    return {
        "jump_ratio": ratio,
        "roughness_ratio": other["roughness_mean"] / max(plain["roughness_mean"], 1e-9),
        "within_claim": ratio <= CLAIM,
        "jump_difference": [jump.value, jump.low, jump.high],
        "success_difference": [won.value, won.low, won.high],
    }


def write(record: dict[str, Any], path: Path | None) -> None:
    """Write what there is, if there is a path for it."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the rows that are missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default="checkpoints/teacher", help="checkpoint folder")
    parser.add_argument("--tasks", default="reach,pick,catch", help="names, with commas between")
    parser.add_argument("--episodes", type=int, default=50, help="episodes a task")
    parser.add_argument("--seed", type=int, default=20_000, help="first seed")
    parser.add_argument("--batch", type=int, default=10, help="episodes stepped together")
    parser.add_argument("--chunks", type=int, default=40, help="chunks timed for each row")
    parser.add_argument("--rows", type=int, default=16, help="run at most so many rows")
    parser.add_argument("--json", type=Path, help="write the result here, and go on from it")
    parser.add_argument("--page", type=Path, help="write table (.md) and plot (.png) here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {name: getattr(arguments, name) for name in ("policy", "tasks", "episodes", "seed")}
    record: dict[str, Any] = {**settings, "rows": []}
    if arguments.json and arguments.json.is_file():
        before = json.loads(arguments.json.read_text(encoding="utf-8"))
        if {name: before.get(name) for name in settings} == settings:
            record |= {"rows": before["rows"], "own_ms": before["own_ms"]}
    record |= {"commit": commit(), "machine": machine(), "command": command()}
    policy = load_policy(arguments.policy)
    own = record.setdefault("own_ms", {})
    if unknown := [name for name in CHUNKINGS if name not in own]:
        own |= own_latency(policy, arguments, unknown)
        write(record, arguments.json)
    wanted = [(name, ms, False) for name in CHUNKINGS for ms in ADDED_MS]
    wanted += [(name, 0, True) for name in CHUNKINGS]
    have = {(one["chunking"], one["added_ms"], one["bad_link"]): one for one in record["rows"]}
    missing = [key for key in wanted if key not in have]
    for key in track(missing[: arguments.rows], "rows"):
        chunking, added_ms, bad_link = key
        one = {"chunking": chunking, "added_ms": added_ms, "bad_link": bad_link}
        one |= row(play(policy, arguments, record["own_ms"][chunking], *key))
        have[key] = one
        one["against_switch"] = compare(have["switch", added_ms, bad_link], one)
        record["rows"].append(one)
        print(
            f"{chunking:9s} +{added_ms} ms{', bad link' if bad_link else ''}: success"
            f" {one['success']:.1%}, jump {one['seam_jump_mean']:.4f} m/s"
            f" ({one['against_switch']['jump_ratio']:.2f} of switch), roughness"
            f" {one['against_switch']['roughness_ratio']:.2f} of switch, refused {one['refused']}"
        )
        write(record, arguments.json)
    if arguments.page:
        picture = arguments.page.with_suffix(".png")
        draw(record["rows"], picture)
        arguments.page.write_text(page(record, picture.name), encoding="utf-8")


if __name__ == "__main__":
    main()
