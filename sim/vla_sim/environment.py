"""The tasks as Gymnasium environments: 10 Hz, absolute poses, the robot's own controller."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vla_sim.constants import CAMERAS, IMAGE_SIZE, STEP_DT
from vla_sim.errors import SimulationError
from vla_sim.experts.driver import StepDriver
from vla_sim.simulation import Simulation
from vla_sim.tasks import TASKS

ACTION_LOW = np.array([-0.8, -0.8, 0.0, -np.pi, -np.pi, -np.pi, 0.0], np.float32)
ACTION_HIGH = np.array([0.8, 0.8, 0.8, np.pi, np.pi, np.pi, 0.088], np.float32)
LONGEST_INSTRUCTION = 200
"""Characters of the longest instruction."""
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz "
LARGEST_SEED = 2**31
"""A reset without a seed draws one below this."""


class TaskEnvironment(gymnasium.Env[dict[str, Any], NDArray[np.float32]]):
    """One task.

    The observation holds the images ``front`` and ``wrist``, Shape (H, W, 3), uint8; ``state``,
    Shape (8,), float32: measured position [m] and rotation vector [rad], gripper opening measured
    and commanded [m]; and ``instruction``. The action is the pose and opening due one step later,
    Shape (7,), float32, in ``base_link`` [m, rad]. The reward is 1 in the step that succeeds.
    Options of a reset: ``instructions`` and ``swap``, as in :meth:`Simulation.reset`.

    Args:
        task: name of the task.
        image_size: side of the images [px].
        render_mode: ``rgb_array`` for :meth:`render`, or None.
        time_limit: ends an episode [s]; None for the task's own.

    Raises:
        SimulationError: unknown task, render mode or reset option.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["rgb_array"],
        "render_fps": round(1 / STEP_DT),
    }
    OPTIONS: ClassVar[tuple[str, ...]] = ("instructions", "swap")

    def __init__(
        self,
        task: str,
        image_size: int = IMAGE_SIZE,
        render_mode: str | None = None,
        time_limit: float | None = None,
    ) -> None:
        if task not in TASKS:
            raise SimulationError("task", got=task, expected=sorted(TASKS))
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise SimulationError(
                "render mode", got=render_mode, expected=[None, *self.metadata["render_modes"]]
            )
        self.task, self.render_mode, self._time_limit = task, render_mode, time_limit
        self.simulation = Simulation(image_size)
        self._driver = StepDriver(self.simulation)
        image = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = spaces.Dict(
            {
                **dict.fromkeys(CAMERAS, image),
                "state": spaces.Box(-np.inf, np.inf, (8,), np.float32),
                "instruction": spaces.Text(LONGEST_INSTRUCTION, charset=_CHARACTERS),
            }
        )
        self.action_space = spaces.Box(ACTION_LOW, ACTION_HIGH, dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode; ``seed`` is the scene's, and without one the next scene is drawn."""
        super().reset(seed=seed)
        options = options or {}
        unknown = sorted(set(options) - set(self.OPTIONS))
        if unknown:
            raise SimulationError("reset options", got=unknown, expected=list(self.OPTIONS))
        scene = seed if seed is not None else int(self.np_random.integers(LARGEST_SEED))
        self.simulation.reset(self.task, scene, **options)
        self._driver.reset()
        return self._observe(), self._inform(True)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Go straight to the action's pose within one step."""
        accepted = self._driver.step(action)
        success = self.simulation.status().success
        limit = self._time_limit or self.simulation.episode.time_limit
        late = self.simulation.time >= limit - 1e-9
        return (
            self._observe(),
            float(success),
            success,
            late and not success,
            self._inform(accepted),
        )

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The front camera's picture at 480 by 640, or None without a render mode."""
        if self.render_mode is None:
            return None
        return self.simulation.render("front", (480, 640))

    def close(self) -> None:
        """Free the renderers."""
        self.simulation.close()

    def _observe(self) -> dict[str, Any]:
        truth = self.simulation.privileged()
        openings = (truth.gripper_opening(), self._driver.commanded_opening())
        return {
            **{camera: self.simulation.render(camera) for camera in CAMERAS},
            "state": np.array([*truth.gripper_pose(), *openings], np.float32),
            "instruction": self.simulation.episode.instruction,
        }

    def _inform(self, accepted: bool) -> dict[str, Any]:
        status, episode = self.simulation.status(), self.simulation.episode
        return {
            "success": status.success,
            "progress": status.progress,
            "phase": status.phase,
            "target": episode.target,
            "accepted": accepted,
        }
