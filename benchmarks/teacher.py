"""What a teacher can do, what it needs for it, and what its thinking time costs: one page.

python benchmarks/teacher.py --policy checkpoints/teacher

Writes benchmarks/results/teacher.json, docs/results/teacher.md and latency.png; every
number comes from the same evaluation seeds, so rows can be compared in pairs. It resumes.
The whole is about 5,000 episodes; --episodes 10 is the pilot.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import tyro
from rich.progress import Progress

from vla_distill.evaluation.evaluation import EvaluationConfig, evaluate
from vla_distill.evaluation.handicap import Blindfold, SomeLayers, random_half
from vla_distill.evaluation.machine import command, commit, cores, machine
from vla_distill.evaluation.statistics import paired_difference, wilson
from vla_policy.checkpoint import load_policy
from vla_policy.contract import Policy
from vla_policy.model.policy import VlaPolicy
from vla_sim.tasks import get_suite

mpl.use("Agg")
from matplotlib import pyplot as plt

REPORTED_ONLY = ("insert", "press_then_pick")
"""Tasks of which the teacher's success is reported, but nothing demanded."""
LATENCIES = ("none", "100", "200", "400", "800")
"""Simulated thinking times of the curve [ms]."""
HALVES = 3
"""Random halves of the language layers that are tried."""
COGACT_SHARES = {"vision": 0.12, "language": 0.64, "head": 0.24}
"""Of 211 ms, as EfficientVLA (arXiv 2506.10100, table 1 and figure 1) measured them."""


@dataclass(frozen=True)
class Arm:
    """One row: the policy as it is loaded, and how it is evaluated."""

    name: str
    episodes: int
    changes: dict[str, Any] = field(default_factory=dict)
    blank: str = ""
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Arguments:
    """Measure a teacher."""

    policy: Path = Path("checkpoints/teacher")
    """Folder of the policy."""
    suite: str = "arx5"
    """Suite of tasks."""
    episodes: int = 100
    """Episodes a task of the plain teacher; half of it a row of the others, 0.3 of it a latency."""
    seed: int = 0
    """First evaluation seed."""
    work: Path = Path("runs/benchmark_teacher")
    """Journals, so that an interrupted run goes on."""
    json: Path = Path("benchmarks/results/teacher.json")
    """Where the numbers go."""
    docs: Path = Path("docs/results")
    """Where page and plot go."""
    processes: int = 0
    """Processes; 0 takes one a core."""


def arms(episodes: int, layers: int) -> Iterator[Arm]:
    """All rows; the first is the plain teacher."""
    yield Arm("teacher", episodes)
    some, few = max(episodes // 2, 1), max(3 * episodes // 10, 1)
    yield Arm("new sentences", some, {"instructions": "new_sentences"})
    yield Arm("new words", some, {"instructions": "new_words"})
    yield Arm("swapped instruction", some, {"swap": True})
    for camera in ("front", "wrist"):
        yield Arm(f"{camera} camera blanked", some, blank=camera)
    for draw in range(HALVES):
        half = random_half(layers, draw)
        yield Arm(f"random half of the layers, draw {draw}", max(some // HALVES, 1), layers=half)
    for latency in (*LATENCIES[1:], "measured"):
        yield Arm(f"latency {latency}", few, {"latency": latency})


def load(folder: Path, arm: Arm) -> Policy:
    """The policy of an arm."""
    policy: VlaPolicy = load_policy(folder)
    if arm.layers is not None:
        policy.plan = SomeLayers(arm.layers)
        policy.policy_hash += "-layers-" + "-".join(map(str, arm.layers))
    return Blindfold(policy, arm.blank) if arm.blank else policy


def measure(arguments: Arguments, arm: Arm) -> dict[str, Any]:
    """Evaluate one arm, going on where it was interrupted."""
    config = EvaluationConfig(
        tasks=get_suite(arguments.suite),
        episodes=arm.episodes,
        seed=arguments.seed,
        processes=arguments.processes or cores(),
        out=arguments.work / arm.name.replace(" ", "_").replace(",", ""),
        **arm.changes,
    )
    with Progress() as progress:
        bar = progress.add_task(arm.name)
        evaluation = evaluate(
            functools.partial(load, arguments.policy, arm),
            config,
            lambda results, total: progress.update(bar, total=total, completed=len(results)),
        )
    summary = evaluation.summary()
    del summary["episodes"]
    summary["outcomes"] = evaluation.outcomes
    return {"name": arm.name, "layers": arm.layers, **summary}


def stage_shares(folder: Path, chunks: int = 60) -> dict[str, float]:
    """Shares of vision, language and head in the time of a chunk."""
    from vla_distill.evaluation.episode import specs
    from vla_distill.evaluation.evaluation import moments

    policy = load_policy(folder)
    memory = policy.start(0)
    observations = moments(policy, specs(["pick"], [0], "train", False)[0])
    sums = dict.fromkeys(COGACT_SHARES, 0.0)
    for index in range(chunks + 10):
        report = policy.infer([observations[index % len(observations)]], [memory])[0].report
        if index >= 10:  # the first ones warm up
            for stage in sums:
                sums[stage] += report.milliseconds[stage]
    total = sum(sums.values())
    return {stage: value / total for stage, value in sums.items()}


def draw_curve(record: dict[str, Any], path: Path) -> None:
    """Success against thinking time, one line a task."""
    rows = {arm["name"]: arm for arm in record["arms"]}
    points = [0.0, *(float(latency) for latency in LATENCIES[1:])]
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for number, task in enumerate(record["tasks"]):
        success, low, high = [], [], []
        for latency in LATENCIES:
            row = rows["teacher" if latency == "none" else f"latency {latency}"]
            outcomes = row["outcomes"][task]
            interval = wilson(outcomes.count("1"), len(outcomes))
            success.append(100 * interval.value)
            low.append(100 * interval.low)
            high.append(100 * interval.high)
        moving = task == "catch"
        line = axes.plot(points, success, ["o-", "s--"][number >= 5], lw=3 if moving else 1.2)[0]
        line.set_label(f"{task} (moving target)" if moving else task)
        if moving:
            axes.fill_between(points, low, high, alpha=0.15, color=line.get_color())
    axes.set(xlabel="thinking time of a chunk [ms]", ylabel="success [%]", ylim=(0, 102))
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def page(record: dict[str, Any]) -> str:
    """docs/results/teacher.md."""
    rows = {arm["name"]: arm for arm in record["arms"]}
    plain, tasks = rows["teacher"], record["tasks"]
    thinking = rows["latency measured"]["ms_per_chunk"]
    gated = [task for task in tasks if task not in REPORTED_ONLY]
    names = ("teacher", "new sentences", "new words", "swapped instruction")
    lines = [
        "# The teacher, measured",
        "",
        f"`{record['command']}` on {record['machine']['cores']} cores"
        f" ({record['machine']['processor']}), commit {record['commit']},"
        f" policy `{record['policy']}`, evaluation seeds"
        f" {record['seeds'][0]} to {record['seeds'][1]}; 95 % Wilson intervals.",
        "Success must hold for a second. Training data come from seeds of 1,000,000 and more.",
        _seeds(record, rows),
        "",
        "| task | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for task in tasks:
        mark = " *" if task in REPORTED_ONLY else ""
        cells = [_cell(rows[name]["outcomes"][task]) for name in names]
        lines.append(f"| {task}{mark} | " + " | ".join(cells) + " |")
    means = [_mean(rows[name], gated) for name in names]
    lines.append("| **mean** | " + " | ".join(f"**{100 * mean:.1f}**" for mean in means) + " |")
    lines += [
        "",
        "\\* reported, not in the mean.",
        "",
        "## What it needs",
        "",
        "Difference to the plain teacher on the same episodes, in points, with 95 % intervals of",
        "the paired difference (Newcombe).",
        "",
        "| task | " + " | ".join(_lost(rows)) + " |",
        "| --- |" + " --- |" * len(_lost(rows)),
    ]
    for task in tasks:
        cells = [_difference(plain, _merged(rows, name), task) for name in _lost(rows)]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    shares = record["stage_shares"]
    lines += [
        "",
        "Stage shares of a chunk's time, beside CogACT's: "
        + ", ".join(
            f"{stage} {100 * shares[stage]:.0f} % ({100 * cogact:.0f} %)"
            for stage, cogact in COGACT_SHARES.items()
        )
        + f". A chunk takes {thinking['median']:.1f} ms on one core"
        f" (95 % within {thinking['p95']:.1f} ms) and"
        f" {plain['gflops_per_chunk']:.2f} GFLOP.",
        "",
        "## What thinking time costs",
        "",
        "Simulated time goes on while the policy thinks; the player joins chunks by time, as the"
        " robot's does.",
        "",
        "![Success against thinking time](latency.png)",
        "",
        "| task | "
        + " | ".join(["0 ms", *(f"{ms} ms" for ms in LATENCIES[1:]), "measured"])
        + " |",
        "| --- |" + " --- |" * (len(LATENCIES) + 1),
    ]
    for task in tasks:
        cells = [
            _cell(rows["teacher" if latency == "none" else f"latency {latency}"]["outcomes"][task])
            for latency in (*LATENCIES, "measured")
        ]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    lines += ["", "## Why episodes fail", "", "| task | causes |", "| --- | --- |"]
    for row in plain["tasks"]:
        causes = ", ".join(f"{count} {cause}" for cause, count in row["failures"].items()) or "-"
        lines.append(f"| {row['name']} | {causes} |")
    return "\n".join(lines) + "\n"


def _seeds(record: dict[str, Any], rows: dict[str, Any]) -> str:
    """Which scenes the rows have: fewer than the first."""
    first = record["seeds"][0]

    def last(name: str) -> int:
        return first + len(rows[name]["outcomes"][record["tasks"][0]]) - 1

    return (
        f"Seeds {first} to {last('teacher')} in the first column, {first} to"
        f" {last('new sentences')} in the other columns and for the cameras, {first} to"
        f" {last('latency measured')} for latencies, {first} to"
        f" {last('random half of the layers, draw 0')} for each of {HALVES} draws of layers;"
        " intervals of the last ignore that draws share scenes."
    )


def _lost(rows: dict[str, Any]) -> list[str]:
    return [*(name for name in rows if name.endswith("blanked")), "random half of the layers"]


def _merged(rows: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a name, of which some have several draws."""
    return [row for key, row in rows.items() if key.split(",")[0] == name]


def _difference(plain: dict[str, Any], others: list[dict[str, Any]], task: str) -> str:
    first, second = [], []
    for other in others:
        outcomes = other["outcomes"][task]
        first += [bit == "1" for bit in plain["outcomes"][task][: len(outcomes)]]
        second += [bit == "1" for bit in outcomes]
    change = paired_difference(first, second)
    return f"{100 * change.value:+.0f} [{100 * change.low:+.0f}, {100 * change.high:+.0f}]"


def _cell(outcomes: str) -> str:
    rate = wilson(outcomes.count("1"), len(outcomes))
    return f"{100 * rate.value:.0f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _mean(row: dict[str, Any], tasks: list[str]) -> float:
    rates = [row["outcomes"][task].count("1") / len(row["outcomes"][task]) for task in tasks]
    return sum(rates) / len(rates)


def main() -> None:
    """Measure all arms and write the page."""
    arguments = tyro.cli(Arguments)
    shares = stage_shares(arguments.policy)
    layers = load_policy(arguments.policy).config.language.layers
    record = {
        "policy": str(arguments.policy),
        "tasks": list(get_suite(arguments.suite)),
        "seeds": [arguments.seed, arguments.seed + arguments.episodes - 1],
        "stage_shares": shares,
        "arms": [measure(arguments, arm) for arm in arms(arguments.episodes, layers)],
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    arguments.docs.mkdir(parents=True, exist_ok=True)
    (arguments.docs / "teacher.md").write_text(page(record), encoding="utf-8")
    draw_curve(record, arguments.docs / "latency.png")
    print(page(record))


if __name__ == "__main__":
    main()
