"""What is where in the scenes of a simulated dataset, for losses that exist in training only.

A scene is a pure function of its seed, so nothing of this is stored: it is drawn again. A small
policy that is only shown actions learns the average motion and never looks; told where all things
are, it learns to see within minutes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_distill.dataset import DatasetError, FrameStore
from vla_policy.model.config import ModelConfig
from vla_sim.constants import CAMERAS
from vla_sim.scene.cameras import FrontCamera
from vla_sim.scene.items import COLOURS, CONTAINERS, KINDS
from vla_sim.scene.layout import draw_layout
from vla_sim.tasks import TASKS

THINGS: Final = (*(f"{c} {k}" for c in COLOURS for k in KINDS), *CONTAINERS)
"""Everything that can be in a scene, by the name that an instruction uses."""
_TOLERANCE = 0.01
"""Largest distance between a redrawn and a recorded target [m]."""


class Scenes:
    """Positions of everything in every frame.

    Args:
        frames: the dataset.
        seeds: of its episodes. Shape (E,).
        model: for the size of the front camera's token grid.

    Raises:
        DatasetError: a scene is not the one that was recorded, so the world has changed since.
    """

    def __init__(self, frames: FrameStore, seeds: NDArray[np.int64], model: ModelConfig) -> None:
        self._frames = frames
        self._grid = model.image_size // model.vision.patch
        self._camera = FrontCamera()
        first = np.searchsorted(frames.episode_index, np.arange(len(seeds)))
        numbers = list(TASKS)
        # present, x, y of each thing at the start; which of them is the target.
        self._start = np.zeros((len(seeds), len(THINGS), 3), np.float32)
        self._target = np.zeros(len(seeds), np.int64)
        for episode, (seed, row) in enumerate(zip(seeds, first, strict=True)):
            rng = np.random.default_rng([seed, numbers.index(frames.tasks[episode]), 0])
            layout = draw_layout(rng, CAMERAS)
            for item in layout.items:
                self._start[episode, THINGS.index(item.name)] = (1.0, item.x, item.y)
            for container in layout.containers:
                self._start[episode, THINGS.index(container.kind)] = (1.0, container.x, container.y)
            recorded = frames.keypoints[row, :2]
            distance = np.linalg.norm(self._start[episode, :-2, 1:] - recorded, axis=1)
            distance[self._start[episode, :-2, 0] == 0] = np.inf
            self._target[episode] = distance.argmin()
            if distance.min() > _TOLERANCE:
                raise DatasetError(
                    f"episode {episode} (seed {seed})",
                    got=f"its target {distance.min():.3f} m away from where the seed puts it",
                    expected="a dataset collected in this version of the simulation",
                )

    def things(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Present (0 or 1), x and y [m] of each of THINGS at these frames. Shape (B, 14, 3)."""
        episode = self._frames.episode_index[rows]
        things = self._start[episode].copy()
        things[np.arange(len(rows)), self._target[episode], 1:] = self._frames.keypoints[rows, :2]
        return things

    def gaze(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where target and goal appear among the front camera's tokens. Shape (B, 2, tokens).

        A soft distribution, as the camera's pose differs a little from scene to scene.
        """
        points = self._frames.keypoints[rows].reshape(-1, 3)
        turn = Rotation.from_quat(self._camera.quaternion(), scalar_first=True)
        x, y, z = turn.inv().apply(points - np.array(self._camera.position)).T
        focal = self._grid / 2 / np.tan(np.radians(self._camera.fovy) / 2)
        column, row = self._grid / 2 - focal * x / z, self._grid / 2 + focal * y / z
        centres = np.arange(self._grid) + 0.5
        across = np.exp(-2.0 * (centres - column[:, None]) ** 2)
        down = np.exp(-2.0 * (centres - row[:, None]) ** 2)
        weights = (down[:, :, None] * across[:, None, :]).reshape(len(rows), 2, -1)
        return (weights / np.maximum(weights.sum(-1, keepdims=True), 1e-6)).astype(np.float32)
