"""What is where in the scenes of a simulated dataset, for losses that exist in training only.

A scene is a pure function of its seed, so nothing of this is stored: it is drawn again. A small
policy that is only shown actions learns the average motion and never looks; told where all things
are, it learns to see within minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_arm import mjcf
from vla_arm.joint_table import ARMS
from vla_distill.dataset import DatasetError, FrameStore
from vla_policy.model.config import ModelConfig
from vla_sim.constants import CAMERAS, STEP_DT
from vla_sim.scene.cameras import FrontCamera
from vla_sim.scene.fixtures import FIXTURES
from vla_sim.scene.layout import Layout
from vla_sim.scene.things import THINGS
from vla_sim.tasks import draw_episode

_TOLERANCE = 0.01
"""Largest distance between a redrawn and a recorded target [m]."""


class Scenes:
    """Positions of everything in every frame.

    Args:
        frames: the dataset.
        seeds: of its episodes. Shape (E,).
        model: for the size of the token grid.

    Raises:
        DatasetError: a scene is not the one that was recorded, so the world has changed since.
    """

    def __init__(self, frames: FrameStore, seeds: NDArray[np.int64], model: ModelConfig) -> None:
        self._frames = frames
        self._grid = model.image_size // model.vision.patch
        first = np.searchsorted(frames.episode_index, np.arange(len(seeds)))
        # Present, x, y of each thing at the start.
        self._start = np.zeros((len(seeds), len(THINGS), 3), np.float32)
        self._named = np.zeros((len(seeds), 2), np.int64)
        self._spinning: dict[int, _Spinning] = {}
        for episode, (seed, row) in enumerate(zip(seeds, first, strict=True)):
            _, layout, aim, _ = draw_episode(frames.tasks[episode], int(seed))
            for thing in (*layout.items, *layout.fixtures):
                self._start[episode, THINGS.index(thing.name)] = (1.0, *_point(layout, thing.name))
            self._named[episode] = THINGS.index(aim.target), THINGS.index(aim.goal or aim.target)
            if layout.spin is not None:
                self._spinning[episode] = _Spinning(layout)
            drawn = self._start[episode, self._named[episode, 0], 1:]
            distance = float(np.linalg.norm(drawn - frames.keypoints[row, :2]))
            # Chosen frames may begin where the target has been moved already.
            if frames.scene_frame[row] == 0 and distance > _TOLERANCE:
                raise DatasetError(
                    f"episode {episode} (seed {seed})",
                    got=f"its target {distance:.3f} m away from where the seed puts it",
                    expected="a dataset collected in this version of the simulation",
                )

    def things(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Present (0 or 1), x and y [m] of each of THINGS at these frames. Shape (B, things, 3)."""
        episode = self._frames.episode_index[rows]
        things = self._start[episode].copy()
        for index, (row, each) in enumerate(zip(rows, episode, strict=True)):
            if each in self._spinning:
                time = STEP_DT * float(self._frames.scene_frame[row])
                self._spinning[each].turn(things[index], time)
        points = self._frames.keypoints[rows].reshape(-1, 2, 3)[..., :2]
        things[np.arange(len(rows))[:, None], self._named[episode], 1:] = points
        return things

    def gaze(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Where target and goal appear among each camera's tokens. Shape (B, 2, cameras, tokens).

        Soft distributions, as a camera's pose differs a little from scene to scene; all zero where
        the picture does not show the thing.
        """
        points = self._frames.keypoints[rows].reshape(-1, 2, 3)
        state = self._frames.state[rows].astype(np.float64)
        mounts = {"front": np.zeros_like(state[:, :6]), "wrist": state[:, :6]}
        views = [self._seen(points, mounts[name], _LENSES[name]) for name in CAMERAS]
        return np.stack(views, axis=2).astype(np.float32)

    def _seen(
        self,
        points: NDArray[np.floating],
        mount: NDArray[np.float64],
        lens: _Lens,
    ) -> NDArray[np.float64]:
        """Points (B, 2, 3) [m] in a camera whose mount's pose is (B, 6). Shape (B, 2, tokens)."""
        grid = self._grid
        turn = Rotation.from_rotvec(mount[:, 3:])
        camera = mount[:, :3] + turn.apply(lens.position)
        into = (turn * lens.turn).inv()
        seen = [into.apply(points[:, index] - camera) for index in (0, 1)]
        x, y, z = np.moveaxis(np.stack(seen, axis=1), -1, 0)
        depth = np.minimum(z, -0.01)
        focal = grid / 2 / np.tan(np.radians(lens.fovy) / 2)
        column, row = grid / 2 - focal * x / depth, grid / 2 + focal * y / depth
        inside = (z < -0.01) & (np.abs(column - grid / 2) < grid / 2)
        inside &= np.abs(row - grid / 2) < grid / 2
        centres = np.arange(grid) + 0.5
        across = np.exp(-2.0 * (centres - column[..., None]) ** 2)
        down = np.exp(-2.0 * (centres - row[..., None]) ** 2)
        weights = (down[..., :, None] * across[..., None, :]).reshape(*inside.shape, -1)
        weights *= inside[..., None]
        return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-6)


@dataclass(frozen=True)
class _Lens:
    """A camera on its mount: position [m], orientation, vertical field of view [deg]."""

    position: NDArray[np.float64]
    turn: Rotation
    fovy: float


def _lenses() -> dict[str, _Lens]:
    front = FrontCamera()
    in_tool = np.subtract(mjcf.CAMERA_POSITION, ARMS["X5"].eef_offset)
    look = np.subtract(mjcf.CAMERA_TARGET, mjcf.CAMERA_POSITION)
    return {
        "front": _Lens(
            np.array(front.position),
            Rotation.from_quat(front.quaternion(), scalar_first=True),
            front.fovy,
        ),
        "wrist": _Lens(
            in_tool,
            Rotation.from_quat(mjcf.look_along(look), scalar_first=True),
            mjcf.CAMERA_FOVY,
        ),
    }


_LENSES = _lenses()


class _Spinning:
    """What a turntable carries, as long as nobody takes it off."""

    def __init__(self, layout: Layout) -> None:
        assert layout.spin is not None
        table = layout.fixture("turntable")
        self._spin, self._centre = layout.spin, np.array([table.x, table.y])
        self._carried = [THINGS.index(item.name) for item in layout.items if item.z > 0.0]

    def turn(self, things: NDArray[np.float32], time: float) -> None:
        """Move the positions of one frame, shape (things, 3), from the start to ``time`` [s]."""
        angle = self._spin.angle(time)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        away = things[self._carried, 1:] - self._centre
        things[self._carried, 1:] = self._centre + away @ turn.T


def _point(layout: Layout, name: str) -> tuple[float, float]:
    """Where a thing is at the start, seen from above: what Truth.position says there."""
    for item in layout.items:
        if item.name == name:
            return item.x, item.y
    fixture = layout.fixture(name)
    x, y, _ = fixture.at(FIXTURES[fixture.kind].point)
    return float(x), float(y)
