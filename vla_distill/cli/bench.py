"""Count or time what a chunk costs, what recipes are worth, and what small datasets teach."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from vla_distill.cli import _bench_distillation


@dataclass(frozen=True)
class Flops:
    """Count operations and bytes on the meta device: any size, no weights needed.

    Attributes:
        preset: sizes of the network, e.g. cogact_base.
        recipe: a YAML file, or the name of a recipe that comes with the package.
        text: tokens of the instruction.
        json: write the numbers here.
    """

    preset: str
    recipe: str = "plain"
    text: int = 26
    json: Path | None = None


@dataclass(frozen=True)
class Latency:
    """Time a chunk by stage, plain and with recipes, one after the other in turns.

    Attributes:
        policy: folder of a policy; without one, random weights of the preset.
        preset: sizes of the network, where there is no policy.
        recipes: recipes to compare with the plain policy, separated by commas; not for a policy
            that follows one already. Calibrated on noise: it does not change the cost.
        device: where to compute, e.g. cpu or cuda:0.
        chunks: how many to time of each.
        threads: of torch; 0 leaves its choice.
        json: write the numbers here.
    """

    policy: Path | None = None
    preset: str = "deep"
    recipes: str = ""
    device: str = "cpu"
    chunks: int = 200
    threads: int = 0
    json: Path | None = None


@dataclass(frozen=True)
class Ablation:
    """Compare recipes: success with latency none and measured, operations, speed. Resumes.

    Attributes:
        policy: folder of the plain policy.
        data: dataset to calibrate on.
        work: folder for policies, journals and times, so that an interrupted run goes on.
        recipes: instead of all rows, separated by commas.
        small_scratch: folder of a small policy trained from scratch, as one more row.
        suite: suite of tasks.
        tasks: only these, separated by commas.
        episodes: episodes a task, of each row and latency.
        seed: first seed; choose recipes on other seeds than those that are reported.
        samples: observations to calibrate on.
        chunks: chunks timed of each row.
        processes: that evaluate; 0 takes one a core.
        json: the numbers.
        docs: folder of page and plot.
    """

    policy: Path
    data: Path
    work: Path = Path("runs/ablation")
    recipes: str = ""
    small_scratch: Path | None = None
    suite: str = "arx5"
    tasks: str = ""
    episodes: int = 100
    seed: int = 0
    samples: int = 256
    chunks: int = 200
    processes: int = 0
    json: Path = Path("benchmarks/results/efficientvla_ablation.json")
    docs: Path = Path("docs/results")


@dataclass(frozen=True)
class Data:
    """Compare ways to choose 5 % of the data: success, training and preprocessing time. Resumes.

    Attributes:
        data: the dataset.
        config: YAML file of the full training run.
        steps: optimiser steps of the full run, instead of the file's.
        tasks: that are trained and evaluated, separated by commas.
        arms: rows, separated by commas; all if empty.
        ratio: of the data.
        best: arms that are also run at --more-ratios, separated by commas.
        more_ratios: separated by commas.
        seeds: of split, guide, choice and training, separated by commas.
        episodes: evaluated a task and seed.
        first_seed: of the evaluation; choose arms on other seeds than those that are reported.
        processes: that score and evaluate; 0 takes one a core.
        threads: of torch in training; 0 leaves its choice.
        pilot: a tenth of steps and episodes, one seed, in a folder of its own.
        cost_only: say what it costs, and stop.
        work: folder for everything, so that an interrupted run goes on.
        json: the numbers.
        docs: folder of the page.
    """

    data: Path
    config: Path = Path("config/train/small.yaml")
    steps: int | None = None
    tasks: str = "reach,pick,place,push"
    arms: str = ""
    ratio: float = 0.05
    best: str = ""
    more_ratios: str = "0.01,0.1"
    seeds: str = "42,123,1024"
    episodes: int = 100
    first_seed: int = 0
    processes: int = 0
    threads: int = 0
    pilot: bool = False
    cost_only: bool = False
    work: Path = Path("runs/data")
    json: Path = Path("benchmarks/results/data_distillation.json")
    docs: Path = Path("docs/results")


Arguments = (
    Annotated[Flops, tyro.conf.subcommand("flops")]
    | Annotated[Latency, tyro.conf.subcommand("latency")]
    | Annotated[Ablation, tyro.conf.subcommand("ablation")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[_bench_distillation.Distillation, tyro.conf.subcommand("distillation")]
)


def main(arguments: Arguments) -> int:
    """Run the sub-verb."""
    if isinstance(arguments, Ablation):
        return _ablation(arguments)
    if isinstance(arguments, Data):
        return _data(arguments)
    if isinstance(arguments, _bench_distillation.Distillation):
        return _bench_distillation.main(arguments)
    record = _flops(arguments) if isinstance(arguments, Flops) else _latency(arguments)
    from vla_distill.evaluation.machine import command, commit, machine

    record |= {"commit": commit(), "command": command(), "machine": machine()}
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def _flops(arguments: Flops) -> dict[str, Any]:
    from vla_distill.benchmark.flops import compare
    from vla_policy.efficiency.recipe import read_recipe
    from vla_policy.model.config import preset

    cost = compare(preset(arguments.preset), read_recipe(arguments.recipe), arguments.text)
    stages = ", ".join(
        f"{stage} {cost['stages'][stage]:.4g} of {cost['base_stages'][stage]:.4g}"
        for stage in cost["stages"]
    )
    print(
        f"{arguments.preset} with {arguments.recipe}: {cost['gflops']:.4g} of"
        f" {cost['base_gflops']:.4g} GFLOP a chunk, {cost['ratio']:.1%} ({stages});"
        f" {cost['parameters'] / 1e6:.4g} of {cost['base_parameters'] / 1e6:.4g} M parameters"
    )
    return {"preset": arguments.preset, **cost}


def _latency(arguments: Latency) -> dict[str, Any]:
    import torch

    from vla_distill.benchmark.latency import compare_times

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    names = [name for name in arguments.recipes.split(",") if name]
    rows = compare_times(
        arguments.policy, arguments.preset, names, arguments.device, arguments.chunks
    )
    for row in rows:
        parts = ", ".join(f"{s} {row[s]['median']:.2f}" for s in ("vision", "language", "head"))
        print(
            f"{row['name']}: {row['total']['median']:.2f} ms (95 % within"
            f" {row['total']['p95']:.2f}; {parts}), {row['speedup']:.2f} times as fast as plain"
        )
    return {"rows": rows, "device": arguments.device, "threads": torch.get_num_threads()}


def _ablation(arguments: Ablation) -> int:
    import os

    os.environ.setdefault("MUJOCO_GL", "egl")  # scenes are drawn without a screen
    from vla_distill.benchmark.ablation import RECIPES, AblationConfig, run
    from vla_distill.benchmark.ablation_page import draw_pareto, page
    from vla_distill.evaluation.episode import pick_tasks
    from vla_distill.evaluation.machine import command, commit, cores, machine

    config = AblationConfig(
        policy=arguments.policy,
        data=arguments.data,
        work=arguments.work,
        tasks=pick_tasks(arguments.suite, arguments.tasks),
        recipes=[name for name in arguments.recipes.split(",") if name] or RECIPES,
        small_scratch=arguments.small_scratch,
        episodes=arguments.episodes,
        seed=arguments.seed,
        samples=arguments.samples,
        chunks=arguments.chunks,
        processes=arguments.processes or cores(),
    )
    record: dict[str, Any] = {
        "policy": str(arguments.policy),
        "tasks": list(config.tasks),
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
        "rows": [],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    for row in run(config):
        record["rows"].append(row)
        print(
            f"{row['name']}: {row['success']:.1%}, {row['measured_success']:.1%} with latency,"
            f" {row['flops_ratio']:.1%} of the operations, {row['speedup']:.2f} times as fast",
            flush=True,
        )
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draw_pareto(record["rows"], arguments.docs / "efficientvla_ablation.png")
    text = page(record, "efficientvla_ablation.png")
    (arguments.docs / "efficientvla_ablation.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _data(arguments: Data) -> int:
    import os
    from dataclasses import replace

    os.environ.setdefault("MUJOCO_GL", "egl")  # counter-examples and episodes need no screen
    from vla_distill.benchmark.data import DataBenchConfig, cost, run, step_seconds, summarise
    from vla_distill.benchmark.data_page import page
    from vla_distill.evaluation.machine import command, commit, cores, machine
    from vla_distill.training.config import TrainConfig

    train = TrainConfig.read(
        arguments.config,
        data=[str(arguments.data)],
        out=str(arguments.work),
        steps=arguments.steps,
        threads=arguments.threads or None,
    )
    config = DataBenchConfig(
        data=str(arguments.data),
        train=train,
        work=arguments.work,
        tasks=tuple(_words(arguments.tasks)),
        ratio=arguments.ratio,
        best=tuple(_words(arguments.best)),
        more_ratios=tuple(map(float, _words(arguments.more_ratios))),
        seeds=tuple(map(int, _words(arguments.seeds))),
        episodes=arguments.episodes,
        first_seed=arguments.first_seed,
        processes=arguments.processes or cores(),
    )
    if arms := _words(arguments.arms):
        config = replace(config, arms=tuple(arms))
    config = config.pilot() if arguments.pilot else config
    told = cost(config)
    hours = told["steps"] * step_seconds(config) / 3600
    print(
        f"{told['trainings']} trainings, {told['steps']} optimiser steps in all ({hours:.1f} h"
        f" here), {told['episodes']} episodes; scoring, verifying and matching come on top",
        flush=True,
    )
    if arguments.cost_only:
        return 0
    record: dict[str, Any] = {
        "data": config.data,
        "tasks": list(config.tasks),
        "episodes": config.episodes,
        "seeds": list(config.seeds),
        "steps": config.train.steps,
        "first_seed": config.first_seed,
        "pilot": arguments.pilot,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
        "rows": [],
    }
    target = arguments.json.with_stem(arguments.json.stem + "_pilot" * arguments.pilot)
    target.parent.mkdir(parents=True, exist_ok=True)
    for row in run(config):
        record["rows"].append(row)
        print(
            f"{row['arm']} {row['ratio']:.0%} seed {row['seed']}: {row['success']:.1%}, training"
            f" {row['train_seconds']:.0f} s, preprocessing {row['preprocess_seconds']:.0f} s",
            flush=True,
        )
        record["summary"] = summarise(record["rows"])
        target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = page(record, record["summary"])
    arguments.docs.mkdir(parents=True, exist_ok=True)
    (arguments.docs / f"{target.stem}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]
