"""``vla bench ablation``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_distill.cli.benches import folders, origin, standing, words, write


@dataclass(frozen=True)
class Ablation:
    """Compare recipes: success with latency none and measured, operations, speed. Resumes.

    Rows that stand in the numbers' file already and are not asked for again are kept.

    Attributes:
        policy: folder of the plain policy.
        data: dataset to calibrate on.
        work: folder for policies, journals and times, so that an interrupted run goes on.
        recipes: instead of all rows, separated by commas; `none` for none.
        others: further policies as rows, e.g. student=checkpoints/student,small_scratch=DIR.
        suite: suite of tasks.
        tasks: only these, separated by commas.
        episodes: episodes a task, of each row and latency.
        seed: first seed; choose recipes on other seeds than those that are reported.
        samples: observations to calibrate on.
        chunks: chunks timed of each row.
        latencies: none, or none,measured: simulated time that a chunk takes.
        processes: that evaluate; 0 takes one a core.
        json: the numbers.
        docs: folder of page and plot, which take the name of --json.
    """

    policy: Path
    data: Path
    work: Path = Path("runs/ablation")
    recipes: str = ""
    others: str = ""
    suite: str = "arx5"
    tasks: str = ""
    episodes: int = 100
    seed: int = 0
    samples: int = 256
    chunks: int = 200
    latencies: str = "none,measured"
    processes: int = 0
    json: Path = Path("benchmarks/results/efficientvla_ablation.json")
    docs: Path = Path("docs/results")


def main(arguments: Ablation) -> int:
    """Run, print and write; the numbers after every row."""

    from vla_distill.benchmark.ablation import RECIPES, AblationConfig, run
    from vla_distill.benchmark.ablation_page import page
    from vla_distill.benchmark.comparison_page import draw_pareto, rate, with_latencies
    from vla_distill.evaluation.episode import pick_tasks
    from vla_distill.evaluation.machine import cores
    from vla_policy.checkpoint import load_policy

    config = AblationConfig(
        policy=arguments.policy,
        data=arguments.data,
        work=arguments.work,
        tasks=pick_tasks(arguments.suite, arguments.tasks),
        recipes=[] if arguments.recipes == "none" else words(arguments.recipes) or RECIPES,
        others=folders(arguments.others),
        episodes=arguments.episodes,
        seed=arguments.seed,
        samples=arguments.samples,
        chunks=arguments.chunks,
        latencies=words(arguments.latencies),
        processes=arguments.processes or cores(),
    )
    conditions = {
        "policy": str(arguments.policy),
        "policy_hash": load_policy(arguments.policy).policy_hash,
        "tasks": list(config.tasks),
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "latencies": list(config.latencies),
    }
    before = standing(arguments.json, conditions).get("rows", [])
    rows = {row["name"]: row for row in before}
    record: dict[str, Any] = {**conditions, **origin()}
    for row in run(config):
        rows[row["name"]] = {"commit": record["commit"], **row}
        record["rows"] = list(rows.values())
        print(
            f"{row['name']}: {', '.join(rate(row, each) for each in with_latencies([row]))} %,"
            f" {row['flops_ratio']:.1%} of the operations, {row['speedup']:.2f} times as fast",
            flush=True,
        )
        write(record, arguments.json)
    picture = arguments.docs / f"{arguments.json.stem}.png"
    draw_pareto(record["rows"], picture)
    text = page(record, picture.name)
    picture.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    return 0
