"""The comparison of students as a Markdown page."""

from __future__ import annotations

from typing import Any

from vla_distill.benchmark.comparison_page import change, table


def page(record: dict[str, Any], picture: str) -> str:
    """The tables in Markdown.

    Args:
        record: ``rows`` and ``summary`` as of :mod:`vla_distill.benchmark.distillation`,
            ``teacher``, ``configuration``, ``episodes``, ``seed``, ``seconds``, ``command``.
        picture: file of the plot, relative to the page.
    """
    student = record["configuration"]
    lines = [
        "# ActDistill, its rivals and its parts",
        "",
        f"Students of `{record['teacher']}` with {student['budget']:.0%} of the language layers,"
        f" {student['steps']} optimiser steps each; {record['episodes']} episodes a task from seed"
        f" {record['seed']} on, all rows on the same. Made by `{record['command']}` in"
        f" {record['seconds'] / 3600:.1f} hours.",
        "",
        "| arm | seeds | success [%] | against the teacher | the student's lead over it"
        " | operations | speed-up |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in record["summary"]:
        lead = "" if arm["lead"] is None else change({"difference": arm["lead"]}, "")
        lines.append(
            f"| {arm['arm']} | {arm['seeds']} | {100 * arm['success']:.1f} | {change(arm, '')}"
            f" | {lead}"
            f" | {100 * arm['flops_ratio']:.1f} % | {arm['speedup']:.2f} |"
        )
    lines += [
        "",
        *table(record["rows"], "training", "the teacher"),
        "",
        "In brackets 95 % intervals: Wilson's of a rate, Newcombe's of a paired difference, in"
        " points; over several seeds of training a bootstrap over seeds and episodes. The bound is"
        " the speed-up if the time of every stage fell as its operations do.",
        "",
        f"![Success against operations]({picture})",
    ]
    return "\n".join(lines) + "\n"
