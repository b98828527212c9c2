"""Check a dataset, or decode its frame cache."""

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
class Cache:
    """Decode all frames into the cache that training reads.

    Attributes:
        path: the dataset's folder.
    """

    path: tyro.conf.Positional[Path]


Arguments = (
    Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Cache, tyro.conf.subcommand("cache")]
)


def main(arguments: Arguments) -> int:
    """Run the sub-verb."""
    from vla_distill.dataset import Dataset
    from vla_distill.dataset.check import check

    progress = sys.stderr.isatty() or sys.stdout.isatty()
    if isinstance(arguments, Cache):
        store = Dataset(arguments.path).cache(progress)
        print(json.dumps({"frames": len(store), "shape": store.images.shape}))
        return 0
    faults, summary = check(arguments.path, progress)
    print(json.dumps(summary | {"faults": faults}, indent=2))
    return 1 if faults else 0
