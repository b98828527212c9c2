"""What the pages of all comparisons show alike: a row of the table, and the Pareto plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def table(rows: Sequence[dict[str, Any]], what: str, plain: str) -> list[str]:
    """The rows in Markdown: success and difference, also with latency if it was measured; cost.

    Args:
        rows: as of :func:`vla_distill.benchmark.comparison.compare`.
        what: heads the names.
        plain: what the plain policy is called.
    """
    prefixes = with_latencies(rows)
    titles = [what, "success [%]", f"against {plain}"]
    if "measured_" in prefixes:
        titles += ["with measured latency [%]", f"against {plain}"]
    titles += ["operations", "ms a chunk", "speed-up (bound)"]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        found = [each(row, prefix) for prefix in prefixes for each in (rate, change)]
        cost = f"{100 * row['flops_ratio']:.1f} %", f"{row['ms']['total']['median']:.1f}"
        speed = f"{row['speedup']:.2f} ({row['amdahl_bound']:.2f})"
        lines.append([row["name"], *found, *cost, speed])
    return [f"| {' | '.join(each)} |" for each in lines]


def with_latencies(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Prefixes of the successes that all rows have: none, and ``measured_``."""
    return ["", *(["measured_"] if all("measured_success" in row for row in rows) else [])]


def draw_pareto(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Success against operations, with latency none, and measured if all rows have that."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    titles = {"": "the world waits", "measured_": "the world goes on"}
    prefixes = with_latencies(rows)
    size = (5 * len(prefixes), 4.5)
    figure, (axes,) = plt.subplots(1, len(prefixes), figsize=size, sharey=True, squeeze=False)
    for axis, prefix in zip(axes, prefixes, strict=True):
        for row in rows:
            x, y = 100 * row["flops_ratio"], 100 * row[f"{prefix}success"]
            low, high = 100 * row[f"{prefix}low"], 100 * row[f"{prefix}high"]
            axis.errorbar(x, y, yerr=[[y - low], [high - y]], fmt="o", capsize=2)
            axis.annotate(row["name"], (x, y), xytext=(4, 4), textcoords="offset points")
        axis.set(title=titles[prefix], xlabel="operations left [%]")
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
