"""``vla bench data``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_distill.cli.benches import numbers, origin, standing, words, write


@dataclass(frozen=True)
class Data:
    """Compare ways to choose 5 % of the data: success, training and preprocessing time. Resumes.

    Rows that stand in the numbers' file already are kept, so a table can be made in parts, on a
    machine that has nothing but the file.

    Attributes:
        data: the dataset.
        config: YAML file of the full training run.
        steps: optimiser steps of the full run, instead of the file's.
        tasks: that are trained and evaluated, separated by commas; if empty pick, place and stack,
            or all that the environment has.
        env: a Gymnasium environment to evaluate in instead of the suite: metaworld, or
            module:factory.
        arms: rows, separated by commas; all if empty, but none that needs a teacher if there is
            none.
        ratio: of the data.
        best: arms that are also run at --more-ratios, separated by commas.
        more_ratios: separated by commas.
        seeds: of split, guide, choice and training, separated by commas.
        episodes: evaluated a task and seed.
        first_seed: of the evaluation; choose arms on other seeds than those that are reported. With
            another one, and another --json, what was trained in --work is only evaluated.
        teacher: folder of the policy that arms which end in _soft ask, and that all labels are held
            against; if empty checkpoints/teacher, or none in another environment.
        processes: that train, score and evaluate; 0 takes one a core.
        pilot: a tenth of steps and episodes, one seed, in a folder of its own.
        cost_only: say what it costs, and stop.
        work: folder for everything, so that an interrupted run goes on.
        json: the numbers.
        docs: folder of the page.
    """

    data: Path
    config: Path = Path("config/train/small.yaml")
    steps: int | None = None
    tasks: str = ""
    env: str = ""
    arms: str = ""
    ratio: float = 0.05
    best: str = ""
    more_ratios: str = "0.01,0.1"
    seeds: str = "42,123,1024"
    episodes: int = 100
    first_seed: int = 0
    teacher: str = ""
    processes: int = 0
    pilot: bool = False
    cost_only: bool = False
    work: Path = Path("runs/data")
    json: Path = Path("benchmarks/results/data_distillation.json")
    docs: Path = Path("docs/results")


TASKS = "pick,place,stack"
"""What base.yaml's policy cannot do yet."""
TEACHER = "checkpoints/teacher"


def main(arguments: Data) -> int:
    """Run, print and write; the numbers after every row."""

    from vla_distill.benchmark.data import check, run, step_seconds
    from vla_distill.benchmark.data_config import ROWS, SOFT, DataBenchConfig, by_cell, cost
    from vla_distill.benchmark.data_page import page
    from vla_distill.benchmark.data_summary import summarise
    from vla_distill.evaluation.machine import cores
    from vla_distill.training.config import TrainConfig

    train = TrainConfig.read(
        arguments.config,
        data=[str(arguments.data)],
        out=str(arguments.work),
        steps=arguments.steps,
    )
    teacher = arguments.teacher or ("" if arguments.env else TEACHER)
    rows = [name for name in ROWS if teacher or not name.endswith(SOFT)]
    config = DataBenchConfig(
        data=str(arguments.data),
        train=train,
        work=arguments.work,
        tasks=_tasks(arguments),
        env=arguments.env,
        arms=tuple(words(arguments.arms) or rows),
        ratio=arguments.ratio,
        best=tuple(words(arguments.best)),
        more_ratios=numbers("--more-ratios", arguments.more_ratios, float),
        seeds=numbers("--seeds", arguments.seeds, int),
        episodes=arguments.episodes,
        first_seed=arguments.first_seed,
        teacher=teacher,
        processes=arguments.processes or cores(),
    )
    config = config.pilot() if arguments.pilot else config
    target = arguments.json.with_stem(arguments.json.stem + "_pilot" * arguments.pilot)
    known = by_cell(standing(target, config.conditions()).get("rows", [])).values()
    check(config, known)
    told = cost(config, known)
    hours = told["steps"] * step_seconds(config) / 3600 if told["steps"] else 0.0
    print(
        f"{told['trainings']} trainings, {told['steps']} optimiser steps in all (at most"
        f" {hours:.1f} h here), {told['episodes']} episodes; scoring, verifying and matching come"
        " on top",
        flush=True,
    )
    if arguments.cost_only:
        return 0
    record: dict[str, Any] = {
        **config.conditions(),
        "ratio": config.ratio,
        "pilot": arguments.pilot,
        **origin(),
        "rows": [],
    }
    for row in run(config, known):
        record["rows"].append(row)
        print(
            f"{row['arm']} {row['ratio']:.0%} seed {row['seed']}: {row['success']:.1%}, training"
            f" {row['train_seconds']:.0f} s, preprocessing {row['preprocess_seconds']:.0f} s",
            flush=True,
        )
        if len(record["rows"]) >= len(known):  # never fewer than stand there
            record["summary"] = summarise(record["rows"], config.ratio)
            write(record, target)
    text = page(record, record["summary"])
    arguments.docs.mkdir(parents=True, exist_ok=True)
    (arguments.docs / f"{target.stem}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _tasks(arguments: Data) -> tuple[str, ...]:
    """Those asked for; of the suite's, the names are looked at when the dataset is opened."""
    if arguments.env:
        from vla_distill.environments.description import load_description

        return load_description(arguments.env).pick_tasks(arguments.tasks)
    return tuple(dict.fromkeys(words(arguments.tasks or TASKS)))
