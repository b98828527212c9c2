"""Measure a policy in closed loop: success with Wilson intervals, time and operations a chunk."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vla_distill.evaluation.episode import EpisodeResult
    from vla_distill.evaluation.evaluation import Evaluation
    from vla_policy.contract import Policy


@dataclass(frozen=True)
class Arguments:
    """Drive simulated arms with a policy, through the robot's own chunk player, IK and gate."""

    policy: str
    """Folder of the policy, e.g. checkpoints/teacher, or ws://HOST:PORT of `vla serve`."""
    suite: str = "arx5"
    """Suite of tasks."""
    env: str = ""
    """A Gymnasium environment instead of the suite: metaworld, or module:factory."""
    tasks: str = ""
    """Only these tasks of the suite or environment, separated by commas."""
    episodes: int = 100
    """Episodes a task."""
    seed: int = 0
    """First seed; a task's episodes take the seeds from here on, all below 100000."""
    instructions: Literal["train", "new_sentences", "new_words"] = "train"
    """Sentences of the training data, unseen sentences of known words, or unseen words."""
    latency: str = "none"
    """Simulated time that a chunk takes: none, measured (on this machine) or milliseconds."""
    swap: bool = False
    """Keep each scene but ask for another of its objects; success is that one."""
    blank: Literal["", "front", "wrist"] = ""
    """Show the policy plain grey instead of this camera's images."""
    replan_steps: int = 2
    """Chunk steps (0.1 s each) after which a new chunk is asked for."""
    chunking: Literal["switch", "fade", "ensemble", "rtc"] = "switch"
    """How a new chunk takes over: switching, fading, temporal ensembling, real-time chunking."""
    batch: int = 10
    """Episodes stepped together in a process."""
    processes: int = 0
    """Processes, each with the policy; 0 takes one a core, but one alone for a policy behind ws://
    or on another device than the cpu, which all would share."""
    device: str = "cpu"
    """Where the policy runs."""
    json: Path | None = None
    """Write the results here."""
    videos: int = 0
    """Record the first episodes of each task; needs --out."""
    out: Path | None = None
    """Folder for journal, videos and failure sheet; with it an interrupted run goes on."""


def main(arguments: Arguments) -> int:
    """Run the evaluation, print a table, write what was asked for."""
    from vla_distill.errors import DistillError
    from vla_distill.evaluation.evaluation import EvaluationConfig, evaluate
    from vla_distill.evaluation.machine import command, commit, cores, machine

    if arguments.videos and arguments.out is None:
        raise DistillError(
            "--videos", got=arguments.videos, expected="--out as well, for the files"
        )
    source = functools.partial(_load, arguments.policy, arguments.device, arguments.blank)
    config = EvaluationConfig(
        tasks=_tasks(arguments),
        env=arguments.env,
        episodes=arguments.episodes,
        seed=arguments.seed,
        instructions=arguments.instructions,
        swap=arguments.swap,
        latency=arguments.latency,
        replan_steps=arguments.replan_steps,
        chunking=arguments.chunking,
        batch=arguments.batch,
        processes=arguments.processes or (1 if _shared(arguments) else cores()),
        videos=arguments.videos,
        out=arguments.out,
    )
    begin = time.perf_counter()
    with _Bar() as bar:
        evaluation = evaluate(source, config, bar)
    settings = {
        "policy": arguments.policy,
        **({"env": arguments.env} if arguments.env else {"suite": arguments.suite}),
        "seed": arguments.seed,
        "instructions": arguments.instructions,
        "latency": arguments.latency,
        "swap": arguments.swap,
        "blank": arguments.blank,
        "replan_steps": arguments.replan_steps,
        "chunking": arguments.chunking,
        "batch": arguments.batch,
        "processes": config.processes,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }
    seconds = round(time.perf_counter() - begin, 1)
    record = {**settings, "wall_seconds": seconds, **evaluation.summary()}
    _print(record)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if arguments.out:
        _sheet(arguments.out, evaluation)
    return 0


def _shared(arguments: Arguments) -> bool:
    """Whether all processes would ask one device or server."""
    return arguments.device != "cpu" or arguments.policy.startswith("ws://")


def _tasks(arguments: Arguments) -> tuple[str, ...]:
    """The tasks asked for, of the environment or of the suite."""
    if arguments.env:
        from vla_distill.environments.description import load_description

        return load_description(arguments.env).pick_tasks(arguments.tasks)
    from vla_distill.evaluation.episode import pick_tasks

    return pick_tasks(arguments.suite, arguments.tasks)


def _load(source: str, device: str, blank: str) -> Policy:
    from vla_distill.evaluation.handicap import Blindfold

    policy: Policy
    if source.startswith("ws://"):
        from vla_policy.remote.client import RemotePolicy

        policy = RemotePolicy(source)
    else:
        from vla_policy.checkpoint import load_policy

        policy = load_policy(source, device=device)
    return Blindfold(policy, blank) if blank else policy


class _Bar:
    """A progress bar that also tells the success so far."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("episodes"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Callable[[Sequence[EpisodeResult], int], None]:
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def _show(self, results: Sequence[EpisodeResult], total: int) -> None:
        self._progress.start()  # not before: an error may come first
        won = sum(result.success for result in results)
        rate = f"{won / len(results):.0%} succeeded" if results else ""
        self._progress.update(self._task, total=total, completed=len(results), description=rate)


def _print(record: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "success", "95 % interval", "episodes", "median time", "failures")
    for task in record["tasks"]:
        seconds = task["median_seconds"]
        table.add_row(
            task["name"],
            f"{task['success']:.1%}",
            f"{task['low']:.1%} to {task['high']:.1%}",
            str(task["episodes"]),
            "-" if seconds is None else f"{seconds:.1f} s",
            ", ".join(f"{count} {cause}" for cause, count in task["failures"].items()),
        )
    chunk = record["ms_per_chunk"]
    console = Console()
    console.print(table)
    console.print(
        f"mean success {record['mean_success']:.1%}; a chunk takes {chunk['median']:.1f} ms"
        f" (95 % within {chunk['p95']:.1f} ms) and {record['gflops_per_chunk']:.2f} GFLOP"
    )


def _sheet(folder: Path, evaluation: Evaluation) -> None:
    from vla_distill.report.contact_sheet import contact_sheet

    path = contact_sheet(folder, evaluation.results)
    if path:
        print(f"failures: {path}")
