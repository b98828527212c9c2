"""One HTML page, complete in itself, about policies judged on a bag."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import Episode
from vla_distill.bags.evaluation import Judgement
from vla_distill.bags.fault import Fault
from vla_distill.report import bag_charts as charts
from vla_distill.report.bag_pictures import CLIP_FPS, EpisodePictures, worst_moments
from vla_distill.report.dataset_page import clip
from vla_distill.report.page import jpeg, render
from vla_distill.report.projection import CameraView, simulated_views
from vla_sim.errors import SimulationError

KEY_FRAMES = 4
MOST_EPISODES = 12
MOST_MOMENTS = 3


@dataclass(frozen=True)
class Candidate:
    """A policy with its settings.

    Attributes:
        name: what to call it.
        replan_steps: targets of a chunk that are played before the next.
        judgement: how it did.
    """

    name: str
    replan_steps: int
    judgement: Judgement


def write_bag_page(
    path: Path,
    bag: Bag,
    candidates: Sequence[Candidate],
    *,
    views: Mapping[str, CameraView] | None = None,
    subtitle: str,
    facts: Mapping[str, str],
) -> None:
    """Write the page; it appears under its name only when it is complete.

    Args:
        path: the HTML file.
        bag: the bag.
        candidates: one policy, or two side by side.
        views: where the cameras are; None takes the simulation's where the bag is of one.
        subtitle: one sentence below the heading.
        facts: what to tell at the end: command, commit, machine.
    """
    names = [candidate.name for candidate in candidates]
    steps = [candidate.replan_steps for candidate in candidates]
    runs = [candidate.judgement.runs for candidate in candidates]
    episodes = list(zip(*runs, strict=True))[:MOST_EPISODES]
    drawn = [
        EpisodePictures(bag, each, _views(bag, each[0].episode) if views is None else views)
        for each in episodes
    ]
    shown = [list(own[:MOST_EPISODES]) for own in runs]
    text = render(
        "bag_page.html.jinja",
        title=f"{' and '.join(names)} on {bag.storage.path.name}",
        subtitle=subtitle,
        names=names,
        figures=_figures(candidates),
        rows=_rows(candidates),
        charts=_charts(candidates),
        moments=[
            _moment(drawn[m.episode], episodes[m.episode][0].episode, m, names)
            for m in worst_moments(shown, steps, MOST_MOMENTS)
        ],
        episodes=[
            _episode(pictures, each, names, min(steps))
            for pictures, each in zip(drawn, episodes, strict=True)
        ],
        left_out=max(0, len(runs[0]) - MOST_EPISODES),
        faults=[str(fault) for fault in bag.faults]
        + [str(Fault(**fault)) for fault in candidates[0].judgement.faults],
        footer=[{"name": name, "value": value} for name, value in facts.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _views(bag: Bag, episode: Episode) -> Mapping[str, CameraView]:
    """The simulation's cameras, where a mark or a judgement says that the bag is of one."""
    simulated = any(m.value.source == "simulation" for m in bag.marks) or bool(bag.judgements)
    if not simulated:
        return {}
    try:
        return simulated_views(episode.task if episode.seed >= 0 else "", max(episode.seed, 0))
    except SimulationError:
        return simulated_views("", 0)


def _figures(candidates: Sequence[Candidate]) -> list[dict[str, str]]:
    scores = [candidate.judgement.scores for candidate in candidates]
    return [
        {"name": "episodes", "value": str(len(scores[0]["episodes"]))},
        {"name": "chunks", "value": _join(scores, "{}", "chunks")},
        {
            "name": "median position error",
            "value": _join(scores, "{:.1f}", "position_error_mm", "median", unit=" mm"),
        },
        {"name": "gripper F1", "value": _join(scores, "{:.2f}", "gripper_f1")},
        {
            "name": "cost of a chunk",
            "value": _join(scores, "{:.2f}", "compute", "gflops", unit=" GFLOP"),
        },
    ]


# Name, pattern, then the way to the number in the scores, or in the timing.
_SCORES: list[tuple[str, str, tuple[str, ...]]] = [
    ("position error, median", "{:.2f} mm", ("position_error_mm", "median")),
    ("position error, 95th percentile", "{:.2f} mm", ("position_error_mm", "p95")),
    ("position error, largest", "{:.2f} mm", ("position_error_mm", "max")),
    ("rotation error, median", "{:.2f} deg", ("rotation_error_deg", "median")),
    ("rotation error, 95th percentile", "{:.2f} deg", ("rotation_error_deg", "p95")),
    ("gripper error, mean", "{:.2f} mm", ("gripper_error_mm", "mean")),
    ("gripper F1", "{:.3f}", ("gripper_f1",)),
    ("jump at a seam, median", "{:.2f} mm", ("seam_jump_mm", "median")),
    ("jump at a seam, 95th percentile", "{:.2f} mm", ("seam_jump_mm", "p95")),
    ("age of the observation, median", "{:.3f} s", ("observation_age_s", "median")),
    ("targets that the gate limits", "{}", ("gate", "limited")),
    ("targets that the gate refuses", "{}", ("gate", "refused")),
    ("cost of a chunk", "{:.3f} GFLOP", ("compute", "gflops")),
    ("language layers run", "{:.1f}", ("compute", "layers_run")),
    ("visual tokens kept", "{:.1f}", ("compute", "visual_tokens_kept")),
    ("denoising steps computed", "{:.1f}", ("compute", "head_steps_computed")),
]
_TIMING: list[tuple[str, str, tuple[str, ...]]] = [
    ("latency, median", "{:.1f} ms", ("latency_ms", "p50")),
    ("latency, 95th percentile", "{:.1f} ms", ("latency_ms", "p95")),
    ("latency, 99th percentile", "{:.1f} ms", ("latency_ms", "p99")),
    ("chunks later than the next is due", "{}", ("deadline_misses",)),
]


def _rows(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """A row a score: its name, a value a policy, and of two how the second compares."""
    rows = []
    for part, table in (("scores", _SCORES), ("timing", _TIMING)):
        for name, pattern, way in table:
            values = [_get(getattr(c.judgement, part), *way) for c in candidates]
            change = ""
            if len(values) == 2 and None not in values and values[0]:
                change = f"{100 * (values[1] / values[0] - 1):+.0f} %"
            texts = ["-" if v is None else pattern.format(v) for v in values]
            rows.append({"name": name, "values": texts, "change": change, "timing": part})
    return rows


def _charts(candidates: Sequence[Candidate]) -> list[dict[str, str]]:
    names = [candidate.name for candidate in candidates]
    asked = [each for c in candidates for run in c.judgement.runs for each in run.asked]
    if not asked:
        return []
    step_dt = asked[0].chunk.step_dt
    return [
        {
            "name": title,
            "svg": charts.horizon_chart(
                names, [c.judgement.scores.get(key, []) for c in candidates], step_dt, unit
            ),
        }
        for title, key, unit in (
            ("Position error over the horizon", "horizon_position_mm", "mm"),
            ("Rotation error over the horizon", "horizon_rotation_deg", "deg"),
        )
    ]


def _moment(
    pictures: EpisodePictures, episode: Episode, moment: Any, names: Sequence[str]
) -> dict[str, Any]:
    text = f"{names[moment.policy]}: {moment.error:.1f} mm"
    frames = pictures.clip(moment, text)
    middle = pictures.at(moment.time, text, f"{moment.time - episode.start:.1f} s")
    return {
        "clip": clip(frames, CLIP_FPS) if frames else "",
        "poster": "" if middle is None else jpeg(middle, middle.shape[1]),
        "text": f"{text} from what was done, {moment.time - episode.start:.1f} s into episode "
        f"{episode.index} ({episode.instruction})",
    }


def _episode(
    pictures: EpisodePictures, runs: Sequence[Any], names: Sequence[str], steps: int
) -> dict[str, Any]:
    episode: Episode = runs[0].episode
    times = np.linspace(episode.start, episode.end, KEY_FRAMES + 1)[:-1]
    frames = []
    for time in times:
        picture = pictures.at(float(time))
        if picture is not None:
            frames.append({"jpeg": jpeg(picture, 480), "time": f"{time - episode.start:.1f}"})
    done = len(runs[0].done.stamps) > 1
    return {
        "index": episode.index,
        "instruction": episode.instruction,
        "task": episode.task,
        "seconds": episode.end - episode.start,
        "success": episode.success,
        "frames": frames,
        "charts": [
            {"name": "Way seen from above", "svg": charts.way_chart(names, runs, steps)},
            {"name": "Position error", "svg": charts.error_chart(names, runs, steps)},
            {"name": "Gripper", "svg": charts.opening_chart(names, runs, steps)},
        ]
        if done
        else [],
    }


def _get(values: Mapping[str, Any], *way: str) -> Any:
    found: Any = values
    for name in way:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _join(scores: Sequence[Mapping[str, Any]], pattern: str, *way: str, unit: str = "") -> str:
    values = [_get(each, *way) for each in scores]
    texts = ["-" if value is None else pattern.format(value) for value in values]
    return (texts[0] if len(set(texts)) == 1 else " / ".join(texts)) + unit
