"""A Gymnasium environment as an arm that takes end-effector poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from vla_distill.environments.description import Environment, EnvironmentDescription
from vla_distill.environments.errors import AdapterError
from vla_distill.environments.protocol import Act, Scene, Status
from vla_distill.evaluation.cause import TIMED_OUT
from vla_distill.evaluation.episode import EpisodeSpec
from vla_policy.contract import TARGET_SIZE
from vla_policy.image_conversion import fit_image
from vla_sim.constants import STEP_DT

ENDED = "ended early"
"""Why an episode failed that the environment ended by itself."""


class GymnasiumArm:
    """Plays episodes in the environments of a description, one task's at a time.

    Args:
        description: of the environment.
        image_size: side of the images [px]; that of the description by default.
        cameras: names of the cameras; all by default.

    Attributes:
        observation: the newest observation of the environment.

    Raises:
        AdapterError: the environment lacks one of the cameras.
    """

    def __init__(
        self,
        description: EnvironmentDescription,
        image_size: int = 0,
        cameras: Sequence[str] | None = None,
    ) -> None:
        self._description, self._size = description, image_size or description.image_size
        self.cameras = tuple(description.cameras if cameras is None else cameras)
        if not set(self.cameras) <= set(description.cameras):
            raise AdapterError(
                f"cameras of {description.name}",
                got=f"{description.cameras}",
                expected=f"{self.cameras}, which the policy was trained with",
            )
        self.control_dt = STEP_DT / description.ticks
        self.observation: Any = None
        self._task = ""
        self._env: Environment | None = None
        self._images: Mapping[str, Any] | None = None
        self._begin()

    def _begin(self) -> None:
        self._ticks, self._status = 0, Status(False)
        self._measured = self._commanded = np.zeros(TARGET_SIZE)

    @property
    def env(self) -> Environment:
        """The environment of the task in play."""
        if self._env is None:
            raise AdapterError(self._description.name, got="no episode", expected="a reset first")
        return self._env

    @property
    def box(self) -> gymnasium.spaces.Box:
        """The Box of the environment's actions.

        Raises:
            AdapterError: its actions are of another kind, or have too few numbers.
        """
        space, least = self.env.action_space, self._description.action.size
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise self._wrong("action space", space, "a Box of one dimension")
        if space.shape[0] < least:
            raise self._wrong("action space", space, f"a Box of {least} numbers or more")
        return space

    def reset(self, spec: EpisodeSpec) -> Scene:
        """Begin the episode of a task and a seed.

        Raises:
            AdapterError: no such task, or the environment is not as described.
        """
        (task,) = self._description.pick_tasks(spec.task)
        if task != self._task or self._env is None:
            self.close()
            self._env, self._task = self._description.make(task), task
        _ = self.box
        self._begin()
        self.observation, _ = self.env.reset(seed=spec.seed)
        self._images = None
        self._measured = self._measure()
        self._commanded = self._measured.copy()
        self._correct()
        return Scene(self._description.tasks[task], "", self._description.time_limit)

    def sense(self) -> float:
        """Time since the reset [s]; the state is known since the last step."""
        return self._ticks * self.control_dt

    def state(self) -> NDArray[np.float32]:
        """Measured pose, gripper measured and commanded. Shape (8,) [m, rad]."""
        return np.append(self._measured, self._commanded[6]).astype(np.float32)

    def commanded(self) -> NDArray[np.float64]:
        """The pose that was last commanded. Shape (7,)."""
        return self._commanded.copy()

    def anchor(self, commanded: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the next displacement is added to, if ``commanded`` was commanded. Shape (7,)."""
        if self._description.action.anchor == "measured":
            return np.append(self._measured[:6], commanded[6])
        return commanded

    def render(self, camera: str) -> NDArray[np.uint8]:
        """What the policy sees. Shape (S, S, 3), RGB.

        Raises:
            AdapterError: the environment gives no such picture.
        """
        return fit_image(self._picture(camera), self._size)

    def overview(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The first camera's picture, enlarged, with bars beside it. Shape (H, W, 3), RGB."""
        picture, side = self._picture(self._description.cameras[0]), min(size)
        whole = np.full((*size, 3), 24, np.uint8)
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        large = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
        whole[top : top + side, left : left + side] = large
        return whole

    def keypoints(self) -> NDArray[np.float32]:
        """Object and goal [m]; zeros where nobody knows. Shape (6,)."""
        if self._description.keypoints is None:
            return np.zeros(6, np.float32)
        points = self._description.keypoints(self.env, self.observation)
        return self._numbers("keypoints", points, 6).astype(np.float32)

    def look(self) -> None:
        """Nothing is known of why an environment's episode fails."""

    def act(self, target: NDArray[np.float64] | None, stamp: float | None) -> Act:
        """Command a pose and step the environment once."""
        anchor, hold = self.anchor(self._commanded), target is None
        pose = anchor if hold else np.asarray(target, np.float64)
        numbers = self._description.action.numbers(pose, anchor, self.box.shape[0])
        limited = self.step(numbers)
        return Act(accepted=not hold, limited=limited)

    def step(self, numbers: NDArray[np.floating]) -> bool:
        """Step the environment once.

        Args:
            numbers: of its action, limited to the Box here. Shape (n,).

        Returns:
            Whether they had to be limited by more than rounding.

        Raises:
            AdapterError: the environment says something that is not as described.
        """
        action = self.limited(numbers)
        wanted = self._description.action.pose(action, self.anchor(self._commanded))
        given = self.env.step(action.astype(self.box.dtype))
        self.observation, _, terminated, truncated, info = given
        self._ticks, self._images = self._ticks + 1, None
        success = self._description.success(info)
        self._status = Status(success, float(success), bool(terminated or truncated))
        self._measured, self._commanded = self._measure(), wanted
        self._correct()
        return bool(np.abs(action - numbers).max() > 1e-6)

    def limited(self, numbers: NDArray[np.floating]) -> NDArray[np.float64]:
        """Numbers within the Box. Shape (n,).

        Raises:
            AdapterError: another count of numbers, or one is not finite.
        """
        values = self._numbers("action", numbers, self.box.shape[0]).astype(np.float64)
        return np.clip(values, self.box.low, self.box.high)

    def status(self) -> Status:
        """Success, and whether the environment ended the episode."""
        return self._status

    def cause(self) -> str:
        """Why the episode failed."""
        return ENDED if self._status.ended else TIMED_OUT

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()
        self._env, self._task = None, ""

    def _correct(self) -> None:
        """Take the environment's own word for the commanded position, where it gives one."""
        if self._description.commanded is not None:
            position = self._description.commanded(self.env)
            self._commanded[:3] = self._numbers("commanded", position, 3)

    def _measure(self) -> NDArray[np.float64]:
        pose = self._description.measured(self.env, self.observation)
        return self._numbers("measured", pose, TARGET_SIZE).astype(np.float64)

    def _picture(self, camera: str) -> NDArray[np.uint8]:
        if self._images is None:
            self._images = self._description.images(self.env, self.observation)
        picture = self._images.get(camera)
        if picture is None:
            raise self._wrong("images", sorted(self._images), f"one of camera {camera!r}")
        picture = np.asarray(picture)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            got = f"{picture.dtype} {picture.shape}"
            raise self._wrong(f"image {camera!r}", got, "uint8 (H, W, 3)")
        return np.ascontiguousarray(picture)

    def _numbers(self, what: str, values: Any, count: int) -> NDArray[np.floating]:
        """Values as finite numbers. Shape (count,)."""
        array = np.asarray(values)
        if array.shape != (count,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise self._wrong(what, array, f"{count} finite numbers")
        return array

    def _wrong(self, what: str, got: object, expected: str) -> AdapterError:
        where = f"{self._description.name}, task {self._task!r}: {what}"
        return AdapterError(where, got=got, expected=expected)
