"""Charts as inline SVG whose colours come from the page, so that they fit light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from vla_distill.report.episode_log import EpisodeLog

# Stand-ins that are replaced by CSS variables of the page.
INK, MUTED, GRID = "#010101", "#020202", "#030303"
SERIES = ("#040404", "#050505", "#060606", "#070707")
_CSS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    **{color: f"var(--series-{index})" for index, color in enumerate(SERIES, 1)},
}
STAGES = ("vision", "language", "head")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": MUTED,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 1,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def path_chart(log: EpisodeLog) -> str:
    """The end effector's way over the table, seen from above, with its start and end."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(3.3, 2.7)
        for poses, style, color in (
            (log.commanded, (0, (3, 2)), SERIES[1]),
            (log.measured, "-", SERIES[0]),
        ):
            axes.plot(poses[:, 1] * 100, poses[:, 0] * 100, linestyle=style, color=color)
        if len(log.measured):
            for row, fill, text in ((0, "none", "start"), (-1, SERIES[0], "end")):
                x, y = log.measured[row, 1] * 100, log.measured[row, 0] * 100
                axes.plot(x, y, "o", color=SERIES[0], markerfacecolor=fill, markersize=6)
                axes.annotate(
                    text, (x, y), (7, 4), textcoords="offset points", color=INK, fontsize=8.5
                )
        # As seen by someone standing behind the arm: x goes up, y to the left.
        axes.set(xlabel="y [cm]", ylabel="x [cm]", aspect="equal", xlim=(24, -24), ylim=(12, 48))
        commanded_legend(axes, SERIES[1], SERIES[0])
        return to_svg(figure, "Way of the end effector seen from above")


def position_chart(log: EpisodeLog) -> str:
    """Position over time, commanded and measured."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.7)
        for index, name in enumerate("xyz"):
            axes.plot(
                log.time, log.commanded[:, index] * 100, color=SERIES[index], linestyle=(0, (3, 2))
            )
            axes.plot(log.time, log.measured[:, index] * 100, color=SERIES[index])
            if len(log.time):
                label_end(axes, name, log.time[-1], log.measured[-1, index] * 100)
        axes.set(xlabel="time [s]", ylabel="position [cm]")
        commanded_legend(axes)
        return to_svg(figure, "Commanded and measured position over time")


def gripper_chart(log: EpisodeLog) -> str:
    """Gripper opening over time, commanded and measured."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.1)
        axes.plot(log.time, log.commanded[:, 6] * 1000, color=SERIES[1], linestyle=(0, (3, 2)))
        axes.plot(log.time, log.measured[:, 6] * 1000, color=SERIES[0])
        axes.set(xlabel="time [s]", ylabel="opening [mm]", ylim=(-4, 92))
        commanded_legend(axes, SERIES[1], SERIES[0])
        return to_svg(figure, "Commanded and measured gripper opening over time")


def stage_chart(log: EpisodeLog) -> str:
    """Where the time of each chunk went."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(3.3, 2.1)
        names, parts = stages(log.chunk_ms)
        if len(log.chunk_time):
            axes.stackplot(
                log.chunk_time, parts.T, colors=SERIES[: len(names)], labels=names, linewidth=0
            )
            axes.set(ylim=(0, float(np.percentile(log.chunk_ms[:, 3], 98)) * 1.35))
        axes.set(xlabel="time [s]", ylabel="a chunk [ms]")
        place_legend(
            axes, [Line2D([], [], color=color, linewidth=4) for color in SERIES], names, 0.7
        )
        return to_svg(figure, "Milliseconds a chunk by stage")


def stages(chunk_ms: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the stages and their times with what is left of the total.

    Args:
        chunk_ms: vision, language, head, total [ms]. Shape (M, 4).

    Returns:
        Names, and times [ms]. Shape (M, 4).
    """
    rest = np.clip(chunk_ms[:, 3:] - chunk_ms[:, :3].sum(axis=1, keepdims=True), 0.0, None)
    return [*STAGES, "other"], np.hstack([chunk_ms[:, :3], rest])


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty chart of a size [in]."""
    figure = Figure((width, height), layout="constrained")
    return figure, figure.add_subplot()


def label_end(axes: Axes, text: str, x: float, y: float) -> None:
    """Name a line at its right end."""
    axes.annotate(text, (x, y), (5, -3), textcoords="offset points", color=INK, fontsize=9)


def commanded_legend(axes: Axes, commanded: str = MUTED, measured: str = MUTED) -> None:
    """Say that measured lines are solid and commanded ones dashed."""
    lines = [Line2D([], [], color=measured), Line2D([], [], color=commanded, linestyle=(0, (3, 2)))]
    place_legend(axes, lines, ["measured", "commanded"])


def place_legend(
    axes: Axes,
    handles: Sequence[Artist],
    names: Sequence[str],
    length: float = 1.8,
    columns: int = 0,
) -> None:
    """Put a legend above the axes, in one row unless columns are given."""
    axes.legend(
        handles[: len(names)],
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns or len(names),
        borderaxespad=0.2,
        handlelength=length,
        handletextpad=0.5,
        columnspacing=0.9,
    )


def to_svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element that can stand in a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, variable in _CSS.items():
        text = text.replace(stand_in, variable)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    # The page decides the size; the view box keeps the proportions.
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{title}">{rest}'
