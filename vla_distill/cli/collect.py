"""Collect expert demonstrations of a suite into a LeRobot v3 dataset."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import tyro

from vla_distill.collection.config import CollectConfig as Arguments


def main(arguments: Arguments) -> int:
    """Collect, and print the summary as JSON."""
    from vla_distill.collect import collect

    summary = collect(arguments, progress=sys.stderr.isatty() or sys.stdout.isatty())
    text = json.dumps(summary, indent=2)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n")
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Parse the words of a command line and collect."""
    return main(tyro.cli(Arguments, prog="vla collect", args=argv))
