"""Check a dataset, look at it as a page, decode its frame cache, or make a bag of it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Check:
    """Look at every file and number of a dataset; exit code 1 if something is wrong.

    Attributes:
        path: the dataset's folder.
    """

    path: tyro.conf.Positional[Path]


@dataclass(frozen=True)
class View:
    """Write one HTML page: counts, lengths, and a sample of episodes with films and plots.

    Attributes:
        path: the dataset's folder.
        out: the HTML file; one file, complete in itself.
        episodes: how many to show; the tasks take turns.
    """

    path: tyro.conf.Positional[Path]
    out: Path = Path("dataset.html")
    episodes: int = 12


@dataclass(frozen=True)
class Cache:
    """Decode all frames into the cache that training reads.

    Attributes:
        path: the dataset's folder.
    """

    path: tyro.conf.Positional[Path]


@dataclass(frozen=True)
class ToBag:
    """Write episodes as a bag: pictures, states, commands and marks, as a robot records them.

    Attributes:
        path: the dataset's folder.
        out: the .mcap file.
        episodes: numbers of episodes, separated by commas; all by default.
    """

    path: tyro.conf.Positional[Path]
    out: Path
    episodes: str = ""


Arguments = (
    Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Cache, tyro.conf.subcommand("cache")]
    | Annotated[ToBag, tyro.conf.subcommand("to-bag")]
)


def main(arguments: Arguments) -> int:
    """Run the sub-verb."""
    from vla_distill.dataset import Dataset

    progress = sys.stderr.isatty() or sys.stdout.isatty()
    if isinstance(arguments, Cache):
        store = Dataset(arguments.path).cache(progress)
        print(json.dumps({"frames": len(store), "shape": store.images.shape}))
        return 0
    if isinstance(arguments, View):
        return _view(arguments, Dataset(arguments.path), progress)
    if isinstance(arguments, ToBag):
        return _to_bag(arguments, Dataset(arguments.path), progress)
    from vla_distill.dataset.check import check

    faults, summary = check(arguments.path, progress)
    print(json.dumps(summary | {"faults": faults}, indent=2))
    return 1 if faults else 0


def _view(arguments: View, data, progress: bool) -> int:
    from vla_distill.errors import DistillError
    from vla_distill.report.dataset_page import write_dataset_page

    if arguments.episodes < 1:
        raise DistillError("episodes", got=arguments.episodes, expected="1 or more")
    if arguments.out.is_dir():
        raise DistillError(f"{arguments.out}", got="a folder", expected="the name of an HTML file")
    shown = write_dataset_page(data, arguments.out, arguments.episodes, progress)
    print(json.dumps({"page": str(arguments.out), "episodes": shown}))
    return 0


def _to_bag(arguments: ToBag, data, progress: bool) -> int:
    from rich.progress import Progress

    from vla_distill.bags.from_dataset import from_dataset
    from vla_distill.errors import DistillError

    known = range(len(data.episodes))
    words = [word for word in arguments.episodes.split(",") if word]
    if wrong := [word for word in words if not word.isdigit() or int(word) not in known]:
        raise DistillError("--episodes", got=wrong, expected=f"numbers from 0 to {known[-1]}")
    with Progress(disable=not progress) as bar:
        task = bar.add_task("episodes")
        counts = from_dataset(
            data,
            arguments.out,
            [int(word) for word in words] or None,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    print(json.dumps({"bag": str(arguments.out), "messages": counts}, indent=1))
    return 0
