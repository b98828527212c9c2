"""Charts of demonstrations: what was measured and wanted in one, and how all of them spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vla_distill.dataset import EpisodeFrames, layout
from vla_distill.report.charts import (
    GRID,
    INK,
    MUTED,
    SERIES,
    STYLE,
    label_end,
    new_figure,
    place_legend,
    to_svg,
)

DASHED, DOTTED = (0, (3, 2)), (0, (1, 1.5))
MARKS = {1: (SERIES[3], 0.28), 2: (SERIES[1], 0.28)}
"""Colour and opacity behind what was disturbed: 1 drift, 2 an injected error."""
_LABEL_GAP = 0.11
"""Between two labels at the right end, of the height of the axes."""


@dataclass(frozen=True)
class EpisodeChart:
    """A chart with a time axis that a page can draw a cursor on.

    Attributes:
        svg: the picture.
        left: where time 0 lies, of the picture's width.
        top: where the axes begin, of the picture's height.
        width: how wide the episode is, of the picture's width.
        height: how high the axes are, of the picture's height.
    """

    svg: str
    left: float
    top: float
    width: float
    height: float


def episode_chart(frames: EpisodeFrames, fps: float) -> EpisodeChart:
    """State and action of an episode over time, all 8 and 7 numbers, with what was disturbed.

    Args:
        frames: the episode.
        fps: frames a second.
    """
    time = np.arange(len(frames)) / fps
    end = len(frames) / fps
    state, action = frames.state.astype(float), frames.action.astype(float)
    rows: tuple[tuple[str, float, slice, tuple[str, ...]], ...] = (
        ("position [cm]", 100.0, slice(0, 3), layout.STATE_NAMES[:3]),
        ("rotation [rad]", 1.0, slice(3, 6), layout.STATE_NAMES[3:6]),
        ("gripper [mm]", 1000.0, slice(6, 8), ("", "")),
    )
    with mpl.rc_context(STYLE):
        figure = Figure((5.8, 4.6), layout="constrained")
        panels: list[Axes] = list(figure.subplots(3, 1, sharex=True, height_ratios=(4, 4, 3)))
        for axes, (name, scale, part, names) in zip(panels, rows):
            measured, wanted = state[:, part] * scale, action[:, part] * scale
            _shade(axes, frames.disturbance, fps)
            for column in range(wanted.shape[1]):
                color = SERIES[column]
                # An action is due one step after the frame that it belongs to.
                axes.plot(time + 1.0 / fps, wanted[:, column], color=color, linestyle=DASHED)
                axes.plot(time, measured[:, column], color=color)
            axes.set_ylabel(name)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            _label_ends(axes, names, end, measured[-1])
        panels[2].plot(time, state[:, 7] * 1000, color=MUTED, linewidth=0.9, linestyle=DOTTED)
        panels[2].set(xlabel="time [s]", ylim=(-6, 96), xlim=(0.0, end))
        panels[2].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        figure.align_ylabels(panels)
        _legend(panels[0])
        svg = to_svg(figure, "State and action over time")
        low, high = panels[2].get_position(), panels[0].get_position()
    return EpisodeChart(svg, low.x0, 1.0 - high.y1, low.width, high.y1 - low.y0)


def length_chart(seconds: NDArray[np.float64]) -> str:
    """How long the episodes are.

    Args:
        seconds: length of each [s]. Shape (N,).
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.9)
        axes.hist(seconds, bins=min(40, max(8, round(len(seconds) ** 0.5))), color=SERIES[0])
        middle = float(np.median(seconds))
        axes.axvline(middle, color=INK, linewidth=1, linestyle=DASHED)
        axes.annotate(
            f"median {middle:.1f} s", (middle, 1.0), (5, -2), color=INK, fontsize=8.5,
            xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
        )  # fmt: skip
        axes.set(xlabel="length [s]", ylabel="episodes")
        axes.set_xlim(left=0.0)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        return to_svg(figure, "Histogram of episode lengths")


def place_chart(targets: NDArray[np.float64], goals: NDArray[np.float64]) -> str:
    """Where targets and goals lie at the start, seen from above.

    Args:
        targets: shape (N, 2) [m]; not finite where unknown.
        goals: shape (N, 2) [m].
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.9)
        size = float(np.clip(300.0 / max(len(targets), 1), 3.0, 22.0))
        for points, color in ((goals, SERIES[3]), (targets, SERIES[0])):
            axes.scatter(points[:, 1] * 100, points[:, 0] * 100, size, color, linewidths=0)
        # As seen by someone standing behind the arm: x goes up, y to the left.
        axes.set(xlabel="y [cm]", ylabel="x [cm]", aspect="equal", xlim=(34, -34), ylim=(8, 54))
        dots = [
            axes.plot([], [], "o", color=color, markersize=4)[0] for color in (SERIES[0], SERIES[3])
        ]
        place_legend(axes, dots, ["target", "goal"], 0.8)
        return to_svg(figure, "Targets and goals on the table, seen from above")


def runs(marks: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Stretches of equal marks that are not 0: mark, first frame, frame after the last."""
    edges = np.flatnonzero(np.diff(marks)) + 1
    bounds = [0, *edges.tolist(), len(marks)]
    return [(int(marks[a]), a, b) for a, b in pairwise(bounds) if marks[a]]


def _shade(axes: Axes, marks: NDArray[np.int64], fps: float) -> None:
    for mark, first, last in runs(marks):
        color, opacity = MARKS.get(mark, (GRID, 0.5))
        axes.axvspan(first / fps, last / fps, color=color, alpha=opacity, linewidth=0, zorder=0)


def _legend(axes: Axes) -> None:
    """Name kinds of lines and of shades in one row."""
    lines = [(MUTED, "-", 1.6), (MUTED, DASHED, 1.6), (MUTED, DOTTED, 0.9)]
    handles: list[Artist] = [
        Line2D([], [], color=color, linestyle=style, linewidth=width)
        for color, style, width in lines
    ]
    handles += [Patch(color=color, alpha=opacity, linewidth=0) for color, opacity in MARKS.values()]
    names = ["state", "action", "gripper command", "drift added", "injected error"]
    place_legend(axes, handles, names, 1.5)


def _label_ends(axes: Axes, names: Sequence[str], x: float, ends: NDArray[np.float64]) -> None:
    """Name lines at their right ends, moved apart where they would cover each other."""
    low, high = axes.get_ylim()
    gap = _LABEL_GAP * (high - low)
    order = np.argsort(ends)
    places = ends[order].copy()
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    places -= max(places[-1] - high, 0.0)
    for place, index in zip(places, order):
        label_end(axes, names[int(index)], x, float(place))
