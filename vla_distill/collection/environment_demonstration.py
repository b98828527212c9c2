"""One demonstrated episode of a Gymnasium environment, by its scripted expert."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.collection.demonstration import Demonstration
from vla_distill.collection.disturbance import (
    ENVIRONMENT_DRIFT,
    Disturbance,
    DisturbanceConfig,
)
from vla_distill.dataset import EpisodeFrames
from vla_distill.environments.description import EnvironmentDescription, Expert
from vla_distill.environments.gymnasium_arm import GymnasiumArm
from vla_distill.evaluation.episode import EpisodeSpec
from vla_sim.constants import STEP_DT


class EnvironmentDemonstrator:
    """Runs the expert, as fast as it decides, and notes a frame every chunk step.

    A frame's action is what the expert has commanded by the end of its step. Where drift was added,
    it is what the expert's own share amounts to, from what was commanded at the frame.

    Args:
        description: of the environment.
        noise: scale of the drift; 0 for none.
        config: what the drift is.
    """

    def __init__(
        self,
        description: EnvironmentDescription,
        noise: float = 1.0,
        config: DisturbanceConfig = ENVIRONMENT_DRIFT,
    ) -> None:
        self.arm = GymnasiumArm(description)
        self._description, self._noise = description, noise
        self._config = config

    def close(self) -> None:
        """Close the environment."""
        self.arm.close()

    def run(self, task: str, seed: int) -> Demonstration:
        """Demonstrate one episode; a function of task and seed.

        Raises:
            AdapterError: there is no expert, or the environment is not as described.
        """
        expert = self._description.make_expert(task)
        scene = self.arm.reset(EpisodeSpec(task, seed))
        rng = np.random.default_rng([seed, zlib.crc32(task.encode()), 2])
        disturbance = Disturbance(self._config, self._noise, False, rng, STEP_DT)
        images: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in self.arm.cameras}
        rows: dict[str, list[Any]] = {k: [] for k in ("state", "action", "keypoints", "level")}
        for _ in range(round(scene.time_limit / STEP_DT)):
            for name in self.arm.cameras:
                images[name].append(self.arm.render(name))
            rows["state"].append(self.arm.state())
            rows["keypoints"].append(self.arm.keypoints())
            drift = disturbance.drift()
            rows["action"].append(self.advance(expert, drift))
            rows["level"].append(int(drift is not None))
            status = self.arm.status()
            if status.success or status.ended:
                break
        frames = EpisodeFrames(
            images={name: np.stack(pictures) for name, pictures in images.items()},
            state=np.array(rows["state"], np.float32),
            action=np.array(rows["action"], np.float32),
            keypoints=np.array(rows["keypoints"], np.float32),
            disturbance=np.array(rows["level"], np.int64),
            instruction=scene.instruction,
            task=task,
            seed=seed,
            noise=disturbance.description,
        )
        return Demonstration(frames, self.arm.status().success, refused=0)

    def advance(self, expert: Expert, drift: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Let the expert act for one chunk step.

        Args:
            expert: of the task in play.
            drift: what the arm is shifted by meanwhile. Shape (6,) [m, rad]; None for nothing.

        Returns:
            What the expert commanded. Shape (7,).
        """
        arm, mapping, ticks = self.arm, self._description.action, self._description.ticks
        size = arm.box.shape[0]
        push = np.zeros(size) if drift is None else mapping.drift(drift, ticks, size)
        wanted = arm.commanded()
        for _ in range(ticks):
            clean = arm.limited(np.asarray(expert(arm.observation)))
            wanted = mapping.pose(clean, arm.anchor(wanted))
            arm.step(clean + push)
            if arm.status().success or arm.status().ended:
                break
        return arm.commanded() if drift is None else wanted
