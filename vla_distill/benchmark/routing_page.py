"""Routing as a Markdown page and a picture: layers by task and phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def page(record: dict[str, Any], picture: str) -> str:
    """The table in Markdown.

    Args:
        record: ``policy``, ``episodes``, ``seed``, ``command``, ``rows`` of
            :func:`vla_distill.benchmark.routing.by_phase`, ``touching`` and ``changes``.
        picture: file of the plot, relative to the page.
    """
    lines = [
        "# What the router does, and when",
        "",
        f"`{record['policy']}`, {record['episodes']} episodes a task from seed {record['seed']} on."
        f" Made by `{record['command']}`, commit {record['commit']}.",
        "",
        f"![Layers by task and phase]({picture})",
        "",
        "| task | phase | chunks | layers that ran, mean |",
        "|---|---|---|---|",
    ]
    for row in record["rows"]:
        lines.append(f"| {row['task']} | {row['phase']} | {row['chunks']} | {row['layers']:.2f} |")
    if (change := record["touching"]) is not None:
        lines += [
            "",
            f"While the arm touches the object it runs {change['value']:+.2f} layers"
            f" [{change['low']:+.2f}, {change['high']:+.2f}] more than before and after, within"
            " episodes (95 %, bootstrap over episodes).",
        ]
    lines += ["", f"From one chunk to the next {record['changes']:.2f} layers start or stop."]
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """How often each layer ran, one line of squares a task and phase."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ran = [row["activation"] for row in rows]
    size = 2.5 + 0.4 * len(ran[0]), 1.0 + 0.22 * len(rows)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    image = axis.imshow(ran, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    labels = [f"{row['task']}: {row['phase']}  {row['layers']:.1f}" for row in rows]
    axis.set_yticks(range(len(rows)), labels, fontsize=7)
    axis.set_xticks(range(len(ran[0])))
    axis.set_xlabel("language layer")
    figure.colorbar(image, label="share of the chunks in which it ran")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
