"""What the pages of all comparisons show alike: a row of the table, and the Pareto plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def line(row: dict[str, Any]) -> str:
    """A row in Markdown: name, success and difference without and with latency, cost, speed-up."""
    return (
        f"| {row['name']} | {rate(row, '')} | {change(row, '')} | {rate(row, 'measured_')}"
        f" | {change(row, 'measured_')} | {100 * row['flops_ratio']:.1f} %"
        f" | {row['ms']['total']['median']:.1f}"
        f" | {row['speedup']:.2f} ({row['amdahl_bound']:.2f}) |"
    )


def draw_pareto(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Success against operations, with latency none and measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), sharey=True)
    for axis, prefix, title in (
        (axes[0], "", "the world waits"),
        (axes[1], "measured_", "the world goes on"),
    ):
        for row in rows:
            x, y = 100 * row["flops_ratio"], 100 * row[f"{prefix}success"]
            low, high = 100 * row[f"{prefix}low"], 100 * row[f"{prefix}high"]
            axis.errorbar(x, y, yerr=[[y - low], [high - y]], fmt="o", capsize=2)
            axis.annotate(row["name"], (x, y), xytext=(4, 4), textcoords="offset points")
        axis.set(title=title, xlabel="operations left [%]")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("success [%]")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def rate(row: dict[str, Any], prefix: str) -> str:
    """A success rate with its interval [%]."""
    low, high = 100 * row[f"{prefix}low"], 100 * row[f"{prefix}high"]
    return f"{100 * row[f'{prefix}success']:.1f} [{low:.1f}, {high:.1f}]"


def change(row: dict[str, Any], prefix: str) -> str:
    """A paired difference with its interval [points]."""
    change = row[f"{prefix}difference"]
    low, high = 100 * change["low"], 100 * change["high"]
    return f"{100 * change['value']:+.1f} [{low:+.1f}, {high:+.1f}]"
