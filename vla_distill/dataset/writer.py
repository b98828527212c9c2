"""Writes episodes, from several processes if wanted, and joins them into one dataset.

Until it is finished, a dataset ``DIR`` is a folder ``DIR.partial`` with one folder an episode. An
episode is written under a temporary name and renamed when complete, so a kill leaves no half of it
and two processes never write the same one twice. :meth:`DatasetWriter.finish` joins the episodes
into ``DIR``, again by one rename.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.dataset import layout, statistics, video
from vla_distill.dataset.assembly import assemble
from vla_distill.dataset.episode import EpisodeFrames, episode_name
from vla_distill.dataset.errors import DatasetError

ARRAYS_FILE = "arrays.npz"
EPISODE_FILE = "episode.json"
CONFIG_FILE = "config.json"
FAILURE_SUFFIX = ".failed"


class DatasetWriter:
    """Adds episodes to a dataset that is being made. Opening the same path again resumes.

    Args:
        path: the dataset's folder; it appears when the dataset is finished.
        cameras: names of the cameras.
        image_size: height and width [px].
        fps: frames per second.
        collection: how the episodes are made; kept in ``meta/collection.json``. A resumed dataset
            must agree in it.
        robot: what it is about: our arm, or a Gymnasium environment.

    Raises:
        DatasetError: a finished dataset is there already, or a started one was begun differently.
    """

    def __init__(
        self,
        path: Path,
        cameras: Sequence[str],
        image_size: tuple[int, int],
        fps: int = 10,
        collection: Mapping[str, Any] | None = None,
        robot: str = layout.ROBOT_TYPE,
    ) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.cameras = tuple(cameras)
        self.image_size = image_size
        self.fps = fps
        if self.path.exists():
            raise DatasetError(
                f"{self.path}", got="something that exists", expected="a free path or another one"
            )
        config = {
            "cameras": list(self.cameras),
            "image_size": list(image_size),
            "fps": fps,
            "collection": dict(collection or {}),
        }
        if robot != layout.ROBOT_TYPE:
            config["robot"] = robot
        self._config = json.loads(json.dumps(config))
        self._agree()

    def _agree(self) -> None:
        """Note how the dataset is made, or check that it was begun in the same way."""
        self.partial.mkdir(parents=True, exist_ok=True)
        path = self.partial / CONFIG_FILE
        temporary = self.partial / f".{os.getpid()}-{CONFIG_FILE}"
        temporary.write_text(json.dumps(self._config, indent=2))
        try:
            os.link(temporary, path)
        except FileExistsError:
            begun = json.loads(path.read_text())
            for key, value in self._config.items():
                if begun.get(key) != value:
                    raise DatasetError(
                        f"{path}: {key}", got=value, expected=begun.get(key)
                    ) from None
        finally:
            temporary.unlink()

    def has(self, task: str, seed: int) -> bool:
        """Whether the episode is written."""
        return (self.partial / episode_name(task, seed) / EPISODE_FILE).is_file()

    def failed(self, task: str, seed: int) -> bool:
        """Whether the episode was tried before and not kept."""
        return (self.partial / (episode_name(task, seed) + FAILURE_SUFFIX)).is_file()

    def note_failure(self, task: str, seed: int) -> None:
        """Remember that the episode was tried and is not kept."""
        (self.partial / (episode_name(task, seed) + FAILURE_SUFFIX)).touch()

    def note(self, task: str, seed: int) -> dict[str, Any]:
        """What is noted about a written episode: ``length``, ``noise``, ``instruction``, ..."""
        path = self.partial / episode_name(task, seed) / EPISODE_FILE
        return json.loads(path.read_text())

    def written(self) -> list[tuple[str, int]]:
        """(task, seed) of the episodes that are written, in order of seeds, tasks taking turns."""
        notes = [json.loads(p.read_text()) for p in self.partial.glob(f"[!.]*/{EPISODE_FILE}")]
        keys = sorted((note["seed"], note["task"]) for note in notes)
        return [(task, seed) for seed, task in keys]

    def add_episode(self, frames: EpisodeFrames) -> None:
        """Write an episode, all or nothing.

        Raises:
            DatasetError: the frames are not as the dataset needs them, or the episode is there.
        """
        frames.validate(self.cameras, self.image_size)
        folder = self.partial / frames.name
        temporary = self.partial / f".{os.getpid()}-{frames.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            self._write(temporary, frames)
            try:
                temporary.rename(folder)
            except OSError:
                raise DatasetError(
                    f"{folder}", got="an episode that is there already", expected="a new one"
                ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, folder: Path, frames: EpisodeFrames) -> None:
        with ThreadPoolExecutor(len(self.cameras)) as pool:
            for done in [pool.submit(self._encode, folder, frames, c) for c in self.cameras]:
                done.result()
        np.savez(
            folder / ARRAYS_FILE,
            **{
                layout.STATE: frames.state,
                layout.ACTION: frames.action,
                layout.KEYPOINTS: frames.keypoints,
                layout.DISTURBANCE: frames.disturbance,
                **frames.chosen,
            },
        )
        note = {
            "task": frames.task,
            "seed": frames.seed,
            "instruction": frames.instruction,
            "noise": frames.noise,
            "length": len(frames),
            "statistics": statistics.of_episode(frames),
        }
        (folder / EPISODE_FILE).write_text(json.dumps(note))

    def _encode(self, folder: Path, frames: EpisodeFrames, camera: str) -> None:
        video.encode(folder / f"{camera}.mp4", frames.images[camera], self.fps)

    def finish(
        self,
        episodes: Sequence[tuple[str, int]] | None = None,
        beside: Mapping[str, str] | None = None,
    ) -> Path:
        """Join the episodes into the dataset and remove what was partial.

        Args:
            episodes: (task, seed) of all that are written, in the order to take; None: as
                :meth:`written` has them.
            beside: further files beside ``meta``, name -> text; not part of the content.

        Returns:
            The dataset's folder.

        Raises:
            DatasetError: no episodes, one is damaged, or more are written than are to be taken.
        """
        written = self.written()
        episodes = written if episodes is None else episodes
        if not episodes:
            raise DatasetError(f"{self.partial}", got="no episodes", expected="at least one")
        if more := len(set(written) - set(episodes)):
            raise DatasetError(
                f"{self.partial}",
                got=f"{len(written)} episodes, {more} of them not asked for",
                expected=f"the {len(episodes)} that are: ask for as many as before, or remove it",
            )
        folders = [self.partial / episode_name(task, seed) for task, seed in episodes]
        merging = self.path.with_name(self.path.name + ".merging")
        shutil.rmtree(merging, ignore_errors=True)
        assemble(folders, merging, self.cameras, self.image_size, self.fps, self._config)
        for name, text in (beside or {}).items():
            (merging / name).write_text(text, encoding="utf-8")
        merging.rename(self.path)
        shutil.rmtree(self.partial)
        return self.path
