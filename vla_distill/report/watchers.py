"""Look on at an evaluated episode: record its video, keep the last picture of a failure."""

from __future__ import annotations

from pathlib import Path

import cv2

from vla_distill.environments.protocol import View
from vla_distill.evaluation.episode import EpisodeResult, EpisodeSpec
from vla_distill.report.video import Image, VideoWriter, beside, caption
from vla_policy.contract import ActionChunk

VIDEO_SIZE = (480, 640)
"""Height and width of the large view [px]."""
GREEN, RED, GREY = (122, 220, 140), (255, 120, 110), (200, 200, 200)


def stem(task: str, seed: int) -> str:
    """Start of the names of an episode's files."""
    return f"{task}_{seed:05d}"


def has_video(folder: Path, spec: EpisodeSpec) -> bool:
    """Whether the evaluation's folder holds the whole video of an episode."""
    return any((folder / "videos").glob(f"{stem(spec.task, spec.seed)}_*.mp4"))


class EpisodeWatcher:
    """Writes ``videos/TASK_SEED_success.mp4`` (or ``_failure``) and ``failures/TASK_SEED.jpg``.

    Args:
        folder: the evaluation's folder.
        spec: the episode.
        video: whether to record it; the last picture of a failure is kept in any case.
    """

    def __init__(self, folder: Path, spec: EpisodeSpec, video: bool) -> None:
        self._folder, self._stem = folder, stem(spec.task, spec.seed)
        self._frames, self._cost = 0, ""
        self._path = folder / "videos" / f"{self._stem}.mp4"
        self._writer = VideoWriter(self._path) if video else None

    def see(self, view: View, instruction: str) -> None:
        """Add a frame to the video."""
        if self._writer:
            detail = f"{self._cost}{self._frames / 10:.1f} s"
            self._writer.add(caption(_picture(view), instruction, detail, GREY))
        self._frames += 1

    def hear(self, chunk: ActionChunk) -> None:
        """Write what the chunk cost beside the time."""
        report = chunk.report
        self._cost = f"{len(report.layers_run)} layers, {report.gflops:.2f} GFLOP, "

    def finish(self, view: View, result: EpisodeResult) -> None:
        """Close the video, saying how it ended, and keep the picture of a failure."""
        word, color = ("done", GREEN) if result.success else (result.cause, RED)
        if self._writer:
            last = caption(_picture(view), result.instruction, word, color)
            for _ in range(10):
                self._writer.add(last)
            self._writer.close()
            end = "success" if result.success else "failure"
            self._path.replace(self._path.with_name(f"{self._stem}_{end}.mp4"))
        if not result.success:
            path = self._folder / "failures" / f"{self._stem}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), view.overview(VIDEO_SIZE)[:, :, ::-1])


def _picture(view: View) -> Image:
    """The large view with what the policy's cameras see beside it."""
    small = {name: view.render(name) for name in view.cameras}
    return beside(view.overview(VIDEO_SIZE), small)
