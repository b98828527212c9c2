"""``vla bench distillation``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_distill.cli.benches import folders, numbers, origin, standing, words, write

if TYPE_CHECKING:
    from vla_distill.actdistill.config import StudentConfig

SECONDS = "seconds.json"
PLACES = ("out", "graph", "cache", "init", "threads", "log_every", "save_every")
"""Of a configuration, what changes no number."""


@dataclass(frozen=True)
class Distillation:
    """Train students, rivals and ablations alike, and compare them. Hours; resumes.

    Rows that stand in the numbers' file already, made by the same configuration and on the same
    episodes, are kept: so a table can be made in parts, on a machine that has nothing but the file.

    Attributes:
        config: YAML file of the student, as for ``vla distill-policy``.
        work: folder for trainings, journals and times, so that an interrupted run goes on.
        arms: instead of all, separated by commas.
        seeds: of training, separated by commas; the student and two rivals (the deepest layers
            dropped, with and without hidden states) are trained with each, all others with the
            first.
        others: further policies as rows, e.g. small_scratch=DIR.
        suite: suite of tasks.
        tasks: only these, separated by commas.
        episodes: episodes a task, of each row and latency.
        seed: first seed of the episodes; choose arms on other seeds than those reported.
        chunks: chunks timed of each row.
        latencies: none, or none,measured: simulated time that a chunk takes.
        processes: that train and evaluate; 0 takes one a core.
        retime: at the end, time all rows in one run: rows are made one by one, on many days.
        pilot: a tenth of the steps and episodes, and what all of it would cost.
        json: the numbers.
        docs: folder of page and plot.
    """

    config: Path
    work: Path = Path("runs/distillation")
    arms: str = ""
    seeds: str = "0"
    others: str = ""
    suite: str = "arx5"
    tasks: str = ""
    episodes: int = 100
    seed: int = 0
    chunks: int = 200
    latencies: str = "none"
    processes: int = 0
    retime: bool = False
    pilot: bool = False
    json: Path = Path("benchmarks/results/distillation.json")
    docs: Path = Path("docs/results")


def main(arguments: Distillation) -> int:
    """Run, and say how long it takes."""
    import time

    from vla_distill.actdistill.config import StudentConfig
    from vla_distill.benchmark.distillation import (
        ARMS,
        PILOT,
        DistillationConfig,
        retimed,
        run,
        summary,
        trainings,
    )
    from vla_distill.benchmark.distillation_page import draw_arms, page
    from vla_distill.evaluation.episode import pick_tasks
    from vla_distill.evaluation.machine import cores

    student = StudentConfig.read(arguments.config)
    tasks = pick_tasks(arguments.suite, arguments.tasks)
    conditions = _conditions(student, tasks, arguments)
    before = {} if arguments.pilot else standing(arguments.json, conditions)
    config = DistillationConfig(
        work=arguments.work,
        student=student,
        known={row["name"]: row for row in before.get("rows", [])},
        arms=words(arguments.arms) or tuple(ARMS),
        seeds=numbers("--seeds", arguments.seeds, int),
        others=folders(arguments.others),
        tasks=tasks,
        episodes=arguments.episodes,
        seed=arguments.seed,
        chunks=arguments.chunks,
        processes=arguments.processes or cores(),
        latencies=words(arguments.latencies),
    )
    target, docs, pilot = arguments.json, arguments.docs, config.pilot()
    expected = PILOT * _seconds(pilot.work) / 3600
    if arguments.pilot:
        config, target, docs = pilot, pilot.work / "distillation.json", pilot.work
    runs = {name: each for name, each in trainings(config).items() if name not in config.known}
    samples = sum(each.steps * each.batch for each in runs.values())
    told = f"about {expected:.1f} hours by the pilot" if expected else "--pilot tells the time"
    episodes = len(config.latencies) * len(config.tasks) * config.episodes
    print(
        f"{len(runs)} trainings, {samples} samples; {episodes} episodes of each"
        f"{'' if arguments.pilot else f'; {told}'}",
        flush=True,
    )
    record: dict[str, Any] = {**conditions, **origin(), "rows": []}
    begin = time.perf_counter() - max(before.get("seconds", 0.0), _seconds(config.work))
    for row in run(config):
        record["rows"].append({"commit": record["commit"], **row})
        record["summary"] = summary(record["rows"])
        record["seconds"] = time.perf_counter() - begin
        if row["name"] in config.known:
            continue
        (config.work / SECONDS).write_text(json.dumps(record["seconds"]) + "\n")
        print(
            f"{row['name']}: {row['success']:.1%},"
            f" {row['flops_ratio']:.1%} of the operations, {row['speedup']:.2f} times as fast",
            flush=True,
        )
        write(record, target)
    if arguments.retime:
        record["rows"] = retimed(config, record["rows"])
        record["summary"] = summary(record["rows"])
        record["timed"] = {key: record[key] for key in ("commit", "machine")}
        write(record, target)
    draw_arms(record["rows"], docs / "distillation.png")
    text = page(record, "distillation.png")
    (docs / "distillation.md").write_text(text, encoding="utf-8")
    print(text)
    if arguments.pilot:
        print(f"all of it: about {PILOT * record['seconds'] / 3600:.1f} hours")
    return 0


def _conditions(
    student: StudentConfig, tasks: Sequence[str], arguments: Distillation
) -> dict[str, Any]:
    """What two records must agree in for their rows to stand in one table."""
    from vla_policy.checkpoint import load_policy

    return {
        "teacher": student.teacher,
        "policy_hash": load_policy(student.teacher).policy_hash,
        "configuration": {k: v for k, v in student.to_dict().items() if k not in PLACES},
        "tasks": list(tasks),
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "latencies": words(arguments.latencies),
    }


def _seconds(work: Path) -> float:
    """What a run in this folder has taken so far, without rows that were not finished [s]."""
    path = work / SECONDS
    return float(json.loads(path.read_text())) if path.is_file() else 0.0
