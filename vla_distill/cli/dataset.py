"""Check a dataset, look at it as a page, or decode its frame cache."""

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


Arguments = (
    Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Cache, tyro.conf.subcommand("cache")]
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
