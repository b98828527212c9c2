"""Charts of policies beside what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from vla_distill.bags.evaluation import EpisodeRun
from vla_distill.bags.scores import errors
from vla_distill.report.charts import INK, SERIES, STYLE, new_figure, place_legend, to_svg

RECORDED, COLORS = INK, (SERIES[0], SERIES[1])
WIDTHS = (2.4, 1.2)
"""Of the policies' ways: where they agree, the first shows below the second."""
DASHED = (0, (3, 2))
MOST_LETTERS = 18
"""Longer names do not go side by side above the narrow chart."""


def horizon_chart(
    names: Sequence[str], values: Sequence[Sequence[float | None]], step_dt: float, unit: str
) -> str:
    """Error of each target of a chunk, mean over all chunks.

    Args:
        names: of the policies.
        values: one curve a policy.
        step_dt: between targets [s].
        unit: of the error.
    """
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.4)
        for curve, color in zip(values, COLORS, strict=False):
            known = np.array([np.nan if v is None else v for v in curve], float)
            axes.plot(step_dt * np.arange(1, len(known) + 1), known, color=color)
        axes.set(xlabel="time ahead [s]", ylabel=f"mean error [{unit}]", ylim=(0, None))
        _legend(axes, names, recorded=False)
        return to_svg(figure, f"Error over the horizon in {unit}")


def error_chart(names: Sequence[str], runs: Sequence[EpisodeRun], steps: int) -> str:
    """Error of the targets that would be played, over the time of an episode."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.4)
        for run, color in zip(runs, COLORS, strict=False):
            times, played = played_errors(run, steps)
            axes.plot(times - run.episode.start, played, color=color, marker=".", markersize=3)
        axes.set(xlabel="time [s]", ylabel="position error [mm]", ylim=(0, None))
        _legend(axes, names, recorded=False)
        return to_svg(figure, "Position error over time")


def way_chart(names: Sequence[str], runs: Sequence[EpisodeRun], steps: int) -> str:
    """The recorded way seen from above, and the targets that would be played along it."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(3.6, 2.9)
        done = runs[0].done.poses
        axes.plot(done[:, 1] * 100, done[:, 0] * 100, color=RECORDED, linewidth=1.1)
        widths = WIDTHS if len(runs) > 1 else WIDTHS[1:]
        for run, color, width in zip(runs, COLORS, widths, strict=False):
            for each in run.asked:
                points = each.chunk.targets[:steps]
                axes.plot(points[:, 1] * 100, points[:, 0] * 100, color=color, linewidth=width)
        axes.set(xlabel="y [cm]", ylabel="x [cm]")
        axes.set_aspect("equal", adjustable="datalim")  # the frame keeps its size
        axes.margins(0.15)
        # As seen by someone standing behind the arm: x goes up, y to the left.
        axes.invert_xaxis()
        _legend(axes, names, columns=1 if len("".join(names)) > MOST_LETTERS else 0)
        return to_svg(figure, "Recorded and predicted way seen from above")


def opening_chart(names: Sequence[str], runs: Sequence[EpisodeRun], steps: int) -> str:
    """Gripper opening over time, as recorded and as it would be commanded."""
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.1)
        done, start = runs[0].done, runs[0].episode.start
        axes.plot(done.stamps - start, done.poses[:, 6] * 1000, color=RECORDED, linewidth=1.1)
        for run, color in zip(runs, COLORS, strict=False):
            for each in run.asked:
                due = each.chunk.stamp + each.chunk.step_dt * np.arange(1, steps + 1) - start
                opening = each.chunk.targets[:steps, 6] * 1000
                axes.plot(due[: len(opening)], opening, color=color, linestyle=DASHED)
        axes.set(xlabel="time [s]", ylabel="opening [mm]", ylim=(-4, 92))
        _legend(axes, names)
        return to_svg(figure, "Recorded and predicted gripper opening over time")


def played_errors(run: EpisodeRun, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each chunk was asked for [s], and the mean error of its targets that would be played.

    Returns:
        Times [s] and position errors [mm], NaN where nothing is known. Shape (N,) each.
    """
    times = np.array([each.asked for each in run.asked])
    if not len(times):
        return times, np.zeros(0)
    found = errors(run.asked, run.done)[:, :steps, 0]
    known = np.isfinite(found)
    total = np.where(known, found, 0.0).sum(axis=1)
    counts = known.sum(axis=1)
    return times, np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _legend(axes: Axes, names: Sequence[str], recorded: bool = True, columns: int = 0) -> None:
    lines = [Line2D([], [], color=color) for color in COLORS[: len(names)]]
    if recorded:
        lines.insert(0, Line2D([], [], color=RECORDED))
        place_legend(axes, lines, ["recorded", *names], columns=columns)
    else:
        place_legend(axes, lines, names)
