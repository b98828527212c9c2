"""One demonstrated episode, through the same player and controller as the robot's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.collection.disturbance import Disturbance, DisturbanceConfig, Situation
from vla_distill.dataset import EpisodeFrames
from vla_policy.contract import ActionChunk
from vla_policy.player import ChunkPlayer
from vla_sim.constants import CAMERAS, CONTROL_DT, IMAGE_SIZE, STEP_DT
from vla_sim.experts import Expert
from vla_sim.gated_arm import GatedArm
from vla_sim.simulation import Simulation
from vla_sim.tasks import get_task

TICKS = round(STEP_DT / CONTROL_DT)
EXTRA_TIME = 6.0
"""Added to a task's time limit, for recovering from what was done on purpose [s]."""


@dataclass(frozen=True)
class Demonstration:
    """How an attempt went.

    Attributes:
        frames: what was seen and commanded.
        success: whether the task was solved.
        refused: control ticks whose command the safety gate refused.
    """

    frames: EpisodeFrames
    success: bool
    refused: int


class Demonstrator:
    """Runs episodes in one world.

    Args:
        noise: scale of the disturbances; 0 for none.
        config: what the disturbances are.
        image_size: side of the images [px].
    """

    def __init__(
        self,
        noise: float = 1.0,
        config: DisturbanceConfig | None = None,
        image_size: int = IMAGE_SIZE,
    ) -> None:
        self.sim = Simulation(image_size=image_size)
        self.arm = GatedArm(self.sim)
        self.player = ChunkPlayer()
        self._noise, self._config = noise, config or DisturbanceConfig()
        self._tick = 0

    def reset(self, task: str, seed: int) -> Any:
        """Begin an episode: world, arm and player."""
        episode = self.sim.reset(task, seed)
        self.arm.begin()
        self.player.reset(self.arm.commanded())
        self._tick = 0
        return episode

    def close(self) -> None:
        """Free the renderers."""
        self.sim.close()

    @property
    def time(self) -> float:
        """Time since the reset [s]."""
        return self._tick * CONTROL_DT

    def state(self) -> NDArray[np.float32]:
        """Measured pose, gripper measured and commanded. Shape (8,) [m, rad], float32."""
        return self.arm.state().astype(np.float32)

    def play(self, targets: NDArray[np.floating], steps: int = 1) -> int:
        """Execute the first steps of a chunk that begins now.

        Args:
            targets: shape (T, 7) [m, rad].
            steps: how many steps to play.

        Returns:
            Control ticks whose command was refused.
        """
        stamp = self.time
        sequence = self._tick
        self.player.add(
            ActionChunk(np.asarray(targets, np.float32), stamp, STEP_DT, sequence=sequence)
        )
        refused = 0
        for _ in range(steps * TICKS):
            now = self.time
            target = self.player.sample(now)
            assert target is not None  # a chunk that begins now reaches beyond its steps
            refused += not self.arm.act(target, now, stamp).accepted
            self._tick += 1
        return refused

    def run(
        self, task: str, seed: int, see: Callable[[str], NDArray[np.uint8]] | None = None
    ) -> Demonstration:
        """Demonstrate one episode.

        Args:
            task: name of the task.
            seed: of scene and disturbance.
            see: camera name -> image; None: the world's cameras. Rendering takes most of the time,
                so whoever needs no pictures gives others.
        """
        episode = self.reset(task, seed)
        see = see or self.sim.render
        number = zlib.crc32(task.encode())
        sequence = np.random.default_rng([seed, number, 2])
        expert = Expert(self.sim, np.random.default_rng([seed, number, 3]))
        disturbance = Disturbance(
            self._config, self._noise, get_task(task).grasps, sequence, STEP_DT
        )
        images: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in CAMERAS}
        rows: dict[str, list[Any]] = {k: [] for k in ("state", "action", "keypoints", "level")}
        limit = episode.time_limit + (EXTRA_TIME if self._noise else 0.0)
        refused, success = 0, False
        for step in range(round(limit / STEP_DT)):
            points = self.sim.keypoints()
            for name in CAMERAS:
                images[name].append(see(name).copy())
            rows["state"].append(self.state())
            rows["keypoints"].append(np.concatenate([points["target"], points["goal"]]))
            clean = np.asarray(expert.act(), np.float64)
            commanded = self.arm.commanded()
            situation = Situation(
                step,
                commanded,
                float(rows["state"][-1][6]),
                points["gripper"],
                points["target"],
                points["goal"],
            )
            executed = disturbance.apply(clean, situation)
            rows["action"].append(clean)
            rows["level"].append(disturbance.level)
            refused += self.play(executed[None])
            if self.sim.status().success:
                success = True
                break
        frames = EpisodeFrames(
            images={name: np.stack(frames) for name, frames in images.items()},
            state=np.array(rows["state"], np.float32),
            action=np.array(rows["action"], np.float32),
            keypoints=np.array(rows["keypoints"], np.float32),
            disturbance=np.array(rows["level"], np.int64),
            instruction=episode.instruction,
            task=task,
            seed=seed,
            noise=disturbance.description,
        )
        return Demonstration(frames, success, refused)
