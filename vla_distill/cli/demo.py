"""Launch the simulation, send it instructions through ROS 2, leave a video and a report."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Arguments:
    """Four instructions in plain words, through the real ROS graph, to a trained policy."""

    policy: str = "teacher"
    """Checkpoint folder, or the name of an installed checkpoint."""
    out: Path = Path("runs/demo")
    """Where result.json, demo.mp4 and report.html go; replaced when they are complete."""


def main(arguments: Arguments) -> int:
    """Run the demo; 0 when the graph carried every episode through, whatever its outcome."""
    from rich.console import Console

    from vla_distill.cli.main import complain
    from vla_distill.demo import DemoConfig, run
    from vla_distill.graph import GraphError

    # A polite kill shall clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    config = DemoConfig(arguments.policy, arguments.out)
    try:
        with _Progress(console, len(config.episodes)) as progress:
            result = run(config, progress.take)
    except GraphError as error:
        return complain(str(error))
    _print(console, result)
    for name in ("result.json", "demo.mp4", "report.html"):
        console.print(f"  {arguments.out / name}")
    return 0


class _Progress:
    """One line: what is going on, and how far the episode is."""

    def __init__(self, console: Any, episodes: int) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("launching the nodes", total=None, detail="")
        self._episodes = episodes

    def __enter__(self) -> _Progress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def take(self, event: Mapping[str, Any]) -> None:
        """Show an event of the demo."""
        show = self._progress.update
        match event["event"]:
            case "ready":
                show(self._task, description="nodes are active")
            case "begin":
                number = f"{event['index'] + 1}/{self._episodes}"
                text = f"{number} {event['instruction']}"
                show(
                    self._task, description=text, total=event["time_limit"], completed=0, detail=""
                )
            case "feedback":
                detail = f"{event['elapsed']:.1f} s {event['phase']}"
                show(self._task, completed=event["elapsed"], detail=detail)
            case "end":
                word = "[green]done" if event["success"] else f"[red]{_brief(event['reason'])}"
                self._progress.console.print(
                    f"{word}[/] after {event['seconds']:.1f} s: {event['instruction']}"
                )
            case "report":
                show(self._task, description="video and report", total=None, detail="")


def _brief(reason: str) -> str:
    """The reason without the numbers that follow it."""
    return reason.split(" (")[0]


def _print(console: Any, result: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table("task", "instruction", "success", "seconds")
    for episode in result["episodes"]:
        word = "[green]yes[/]" if episode["success"] else f"[red]no[/]: {_brief(episode['reason'])}"
        table.add_row(episode["task"], episode["instruction"], word, f"{episode['seconds']:.1f}")
    console.print(table)
    console.print(f"success rate {result['success_rate']:.0%}")
