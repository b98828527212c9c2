"""The seams between chunks as a Markdown page and a plot."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "switch": "tab:gray",
    "fade": "tab:green",
    "ensemble": "tab:orange",
    "rtc": "tab:blue",
}
HEADER = (
    "| added | chunks joined by | success | against switch | jump at a seam, m/s |"
    " of switch's | roughness, of switch's | refused | starved |"
)


def page(record: dict[str, Any], picture: str) -> str:
    """The table in Markdown.

    Args:
        record: what ``chunk_seams.py`` writes.
        picture: file of the plot, relative to the page.
    """
    own = ", ".join(f"{n} {statistics.median(ms):.0f} ms" for n, ms in record["own_ms"].items())
    machine = record["machine"]
    lines = [
        "# The seams between chunks",
        "",
        f"`{record['policy']}`, tasks {record['tasks']}, {record['episodes']} episodes a task from"
        f" seed {record['seed']} on, the same in all rows. Made by `{record['command']}`, commit"
        f" {record['commit']}, {machine['processor']}, {machine['cores']} cores.",
        "",
        "The world goes on while the policy thinks: for what a chunk takes on that machine (median"
        f" {own}) and what is added. The *jump* is the change of the commanded velocity in the tick"
        " in which another chunk takes over, *roughness* the mean change over all ticks: it tells a"
        " jump that is gone from one that only comes later. *Against switch*: difference of success"
        " on the same seeds, in points; brackets are 95 % intervals. *Starved*: ticks in which the"
        " chunk had run out.",
        "",
        f"![Jump, roughness and success by added latency]({picture})",
        "",
        HEADER,
        "|" + "---|" * (HEADER.count("|") - 1),
    ]
    for one in sorted(record["rows"], key=lambda one: (one["bad_link"], one["added_ms"])):
        against = one["against_switch"]
        added = "bad link" if one["bad_link"] else f"{one['added_ms']} ms"
        low, high = 100 * one["low"], 100 * one["high"]
        won = " to ".join(f"{100 * bound:+.0f}" for bound in against["success_difference"][1:])
        lines.append(
            f"| {added} | {one['chunking']} | {one['success']:.0%} [{low:.0f}, {high:.0f}]"
            f" | {100 * against['success_difference'][0]:+.0f} [{won}]"
            f" | {one['seam_jump_mean']:.4f} | {against['jump_ratio']:.2f}"
            f" | {against['roughness_ratio']:.2f} | {one['refused']} | {one['starved']} |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Jump, roughness and success against the added latency, a line a way of joining chunks."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for name, colour in COLOURS.items():
        mine = [one for one in rows if one["chunking"] == name and not one["bad_link"]]
        added = [one["added_ms"] for one in mine]
        for axis, key in zip(axes, ("seam_jump_mean", "roughness_mean", "success"), strict=True):
            axis.plot(added, [one[key] for one in mine], "o-", color=colour, label=name)
        success = [one["success"] for one in mine]
        below = [one["success"] - one["low"] for one in mine]
        above = [one["high"] - one["success"] for one in mine]
        axes[2].errorbar(added, success, (below, above), color=colour, capsize=3, fmt="none")
    titles = ("jump at a seam [m/s]", "roughness, all ticks [m/s]", "success")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("added latency [ms]")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[2].set_ylim(0, 1.02)
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
