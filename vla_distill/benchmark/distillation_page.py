"""The comparison of students as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_distill.benchmark.comparison_page import change, table


def page(record: dict[str, Any], picture: str) -> str:
    """The tables in Markdown.

    Args:
        record: ``rows`` and ``summary`` as of :mod:`vla_distill.benchmark.distillation`,
            ``teacher``, ``configuration``, ``episodes``, ``seed``, ``seconds``, ``command``,
            ``machine``; ``timed`` where all rows were timed again.
        picture: file of the plot, relative to the page.
    """
    student, machine = record["configuration"], record["machine"]
    commits = dict.fromkeys(row["commit"] for row in record["rows"])
    timed = f", timed in one run of {record['timed']['commit']}" if "timed" in record else ""
    lines = [
        "# ActDistill, its rivals and its parts",
        "",
        f"Students of `{record['teacher']}` with {student['budget']:.0%} of the language layers,"
        f" {student['steps']} optimiser steps each; {record['episodes']} episodes a task from seed"
        f" {record['seed']} on, all rows on the same. {machine['processor']}, {machine['cores']}"
        f" cores; rows of commit {', '.join(commits)}{timed}. Made by `{record['command']}` in"
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
        " points; over several seeds of training the wider of a bootstrap over seeds and episodes"
        " and Student's of the seeds' means. The bound is the speed-up if the time of every stage"
        " fell as its operations do.",
        "",
        f"![Success of every training]({picture})",
    ]
    return "\n".join(lines) + "\n"


def draw_arms(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Success of every training, arm below arm: all but few cost the same, so cost is no axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    arms = list(dict.fromkeys(row["arm"] for row in rows))
    figure, axis = plt.subplots(figsize=(7, 0.38 * len(arms) + 1.2), layout="constrained")
    for place, arm in enumerate(arms):
        own = [row for row in rows if row["arm"] == arm]
        for number, row in enumerate(own):
            y = place + 0.22 * (number - (len(own) - 1) / 2)
            x, low, high = (100 * row[key] for key in ("success", "low", "high"))
            colour = "black" if arm == rows[0]["arm"] else f"C{number}"
            axis.errorbar(x, y, xerr=[[x - low], [high - x]], fmt="o", ms=4, capsize=2, c=colour)
    axis.axvline(100 * rows[0]["success"], c="black", lw=0.8, ls=":")
    cost = {row["arm"]: f"{100 * row['flops_ratio']:.0f} %" for row in reversed(rows)}
    axis.set_yticks(range(len(arms)), [f"{arm}, {cost[arm]}" for arm in arms])
    axis.invert_yaxis()
    axis.set(xlabel="success [%], 95 % interval; a colour a seed of training", axisbelow=True)
    axis.set_title("success, and operations left", loc="left")
    axis.grid(axis="x", alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
