"""The table of data distillation in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def page(record: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        record: ``tasks``, ``episodes``, ``seeds``, ``steps``, ``data`` and ``command``.
        rows: as of :func:`vla_distill.benchmark.data.summarise`.
    """
    seeds = ", ".join(map(str, record["seeds"]))
    lines = [
        "# Teaching with less data",
        "",
        f"`{record['data']}`, tasks {', '.join(record['tasks'])}; {record['episodes']} episodes a"
        f" task and seed, seeds {seeds}; `full` takes {record['steps']} optimiser steps, all others"
        f" a fifth. Made by `{record['command']}`.",
        "",
        "| arm | data | success [%] | of full's | seeds' spread | training | preprocessing |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['arm']} | {100 * row['ratio']:g} % | {100 * row['success']:.1f}"
            f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}] | {100 * row['of_full']:.0f} %"
            f" | {100 * row['seed_spread']:.1f} | {row['train_seconds'] / 60:.1f} min"
            f" | {row['preprocess_seconds'] / 60:.1f} min |"
        )
    lines += [
        "",
        "In brackets Wilson's 95 % interval over all episodes of all seeds; it does not cover the"
        " differences between trainings, which the seeds' spread shows (in points). Samples are"
        " frames with the chunk that followed; the ratio counts frames.",
    ]
    return "\n".join(lines) + "\n"
