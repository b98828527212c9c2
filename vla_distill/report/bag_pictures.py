"""Pictures of a bag with the recorded and the predicted ways drawn into them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_distill.bags.content import Bag
from vla_distill.bags.evaluation import EpisodeRun
from vla_distill.bags.series import Entry
from vla_distill.bags.step import AskedChunk
from vla_distill.report.bag_charts import played_errors
from vla_distill.report.projection import CameraView
from vla_distill.report.video import Color, Image, caption
from vla_policy.errors import PolicyError

HEIGHT = 288
"""Of a camera's picture [px]."""
RECORDED: Color = (255, 255, 255)
COLORS: tuple[Color, ...] = ((66, 150, 255), (255, 140, 70))
"""Of the policies; those of the charts, brighter."""
WIDTHS = (4, 2)
"""Of the policies' ways [px]: where they agree, the first shows below the second."""
CLIP_FPS = 10
BEFORE, AFTER = 1.5, 1.5
"""Of a moment that is shown as a clip [s]."""
APART = 2.0
"""Two moments of an episode are at least so far apart [s]."""


@dataclass(frozen=True)
class Moment:
    """When a policy was furthest from what was done.

    Attributes:
        episode: index of the run.
        time: when the chunk was asked for [s].
        policy: index of the policy.
        error: mean position error of its targets that would be played [mm].
    """

    episode: int
    time: float
    policy: int
    error: float


def worst_moments(
    candidates: Sequence[Sequence[EpisodeRun]], steps: Sequence[int], count: int
) -> list[Moment]:
    """The moments of largest error over all episodes and policies, largest first.

    Args:
        candidates: the runs of each policy, an entry an episode.
        steps: targets of a chunk that each policy would play.
        count: how many, at most.
    """
    found = []
    for policy, runs in enumerate(candidates):
        for episode, run in enumerate(runs):
            times, played = played_errors(run, steps[policy])
            known = np.isfinite(played)
            rows = zip(times[known], played[known], strict=True)
            found += [Moment(episode, float(t), policy, float(e)) for t, e in rows]
    picked: list[Moment] = []
    for moment in sorted(found, key=lambda m: (-m.error, m.episode, m.time)):
        if all(m.episode != moment.episode or abs(m.time - moment.time) > APART for m in picked):
            picked.append(moment)
        if len(picked) == count:
            break
    return picked


class EpisodePictures:
    """Draws the pictures of one episode.

    Args:
        bag: the bag.
        runs: of each policy, all of the same episode.
        views: where the cameras are; those that are not there are shown without ways.
    """

    def __init__(
        self, bag: Bag, runs: Sequence[EpisodeRun], views: Mapping[str, CameraView]
    ) -> None:
        self._bag, self._runs, self._views = bag, runs, views
        self._episode = runs[0].episode
        images = {name: self._episode.of(bag.images[name]) for name in sorted(bag.images)}
        self._images = {name: entries for name, entries in images.items() if entries}
        self._states = self._episode.of(bag.states)

    def at(self, time: float, title: str = "", detail: str = "") -> Image | None:
        """What all cameras saw at a time [s], side by side; None where nothing can be read."""
        tiles = []
        for name, entries in self._images.items():
            entry = _newest(entries, time)
            if entry is not None and (tile := self._tile(name, entry)) is not None:
                tiles.append(tile)
        if not tiles:
            return None
        picture = np.hstack(tiles)
        return caption(picture, title, detail) if title else picture

    def clip(self, moment: Moment, title: str) -> list[Image]:
        """The pictures around a moment, at :data:`CLIP_FPS`, all of one size."""
        first = max(self._episode.start, moment.time - BEFORE)
        last = min(self._episode.end, moment.time + AFTER)
        frames: list[Image] = []
        for time in np.arange(first, last + 1e-6, 1.0 / CLIP_FPS):
            picture = self.at(float(time), title, f"{time - self._episode.start:.1f} s")
            if picture is not None and (not frames or picture.shape == frames[0].shape):
                frames.append(picture)
        return frames

    def _tile(self, camera: str, entry: Entry) -> Image | None:
        try:
            image = self._bag.pixels(entry.value)
        except PolicyError:
            return None
        width = max(2, round(image.shape[1] * HEIGHT / image.shape[0]) // 2 * 2)
        large = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
        picture: Image = np.asarray(large, np.uint8)
        state = _newest(self._states, entry.stamp)
        if camera in self._views and state is not None:
            self._draw(picture, self._views[camera], state.value.state[:6], entry.stamp)
        return picture

    def _draw(
        self, picture: Image, view: CameraView, tool: NDArray[np.float64], time: float
    ) -> None:
        chunks = [_newest_chunk(run.asked, time) for run in self._runs]
        for chunk in chunks:
            if chunk is not None:
                due = chunk.chunk.stamp + chunk.chunk.step_dt * np.arange(
                    0.0, len(chunk.chunk.targets) + 1
                )
                done = self._runs[0].done.at(due)[:, :3]
                _line(picture, view.project(done[np.isfinite(done[:, 0])], tool), RECORDED)
                break
        widths = WIDTHS if len(chunks) > 1 else WIDTHS[1:]
        for chunk, color, width in zip(chunks, COLORS, widths, strict=False):
            if chunk is not None:
                points = chunk.chunk.targets[:, :3].astype(np.float64)
                _line(picture, view.project(points, tool), color, width)


def _line(picture: Image, places: NDArray[np.float64], color: Color, width: int = 2) -> None:
    """A way with a dark edge, so that it shows on light and dark, and a dot where it ends."""
    size = picture.shape[1::-1]
    places = places[np.isfinite(places).all(axis=1)]
    # Far outside, drawing would overflow.
    places = places[(np.abs(places) < 10.0).all(axis=1)]
    if not len(places):
        return
    pixels = np.round(places * size * 16).astype(np.int32)
    for thickness, ink in ((width + 2, (20, 20, 20)), (width, color)):
        cv2.polylines(picture, [pixels.reshape(-1, 1, 2)], False, ink, thickness, cv2.LINE_AA, 4)
        x, y = (int(value) for value in pixels[-1])
        cv2.circle(picture, (x, y), (thickness + 1) * 16, ink, -1, cv2.LINE_AA, 4)


def _newest(entries: Sequence[Entry], time: float) -> Entry | None:
    index = bisect_right(entries, time + 1e-6, key=lambda entry: entry.stamp)
    return entries[index - 1] if index else None


def _newest_chunk(asked: Sequence[AskedChunk], time: float) -> AskedChunk | None:
    index = bisect_right(asked, time + 1e-6, key=lambda each: each.chunk.stamp)
    return asked[index - 1] if index else None
