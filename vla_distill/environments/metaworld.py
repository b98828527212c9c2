"""Meta-World: ten tasks of a Sawyer arm that somebody else wrote, with their scripted experts.

T. Yu et al., "Meta-World: A Benchmark and Evaluation for Multi-Task and Meta Reinforcement
Learning", CoRL 2019 (arXiv 1910.10897); Farama's package ``metaworld``, version 3. The tasks are
those of its MT10. An action is a displacement of the point that the hand is drawn to (1 is 1 cm on
each axis) and how hard the fingers close; the hand never turns. 80 actions are a second, so 8 make
a step of a chunk. Success is the first step at which Meta-World says so, as in its own evaluation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_distill.environments.box_action import BoxAction
from vla_distill.environments.description import EnvironmentDescription, Expert
from vla_distill.environments.errors import AdapterError

TASKS = (
    "reach",
    "push",
    "pick-place",
    "door-open",
    "drawer-open",
    "drawer-close",
    "button-press-topdown",
    "peg-insert-side",
    "window-open",
    "window-close",
)
VERSION = "-v3"
VERBS = ("open", "close", "press", "insert", "pull", "push", "turn", "lock", "unlock", "slide")
"""Words that say what to do; Meta-World's names put them after the thing."""
CAMERAS = {"front": "corner4", "wrist": "gripperPOV"}
"""Our name of a camera, and Meta-World's."""
INVERTED = ("corner4",)
"""Cameras that hang upside down."""
IMAGE_SIZE = 96
EFFECTS = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)
"""Not drawn: without a GPU they make a picture take five times as long."""
FINGERS = 0.1
"""Opening that Meta-World calls 1 [m]."""
DOWN = (0.0, np.pi / 2, 0.0)
"""The hand's rotation vector, always [rad]."""
TICKS = 8
TIME_LIMIT = 6.2
"""Meta-World ends an episode after 500 actions; this is the last whole chunk step before [s]."""


def instruction(task: str) -> str:
    """A task's name as a sentence: ``drawer-open`` is "open the drawer"."""
    words = task.split("-")
    for place, word in enumerate(words):
        if place and word in VERBS:
            return " ".join([word, "the", *words[:place], *words[place + 1 :]])
    return " ".join(words)


class MetaWorldTask(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task whose scene is a function of the seed, whose expert sees the goal, with two cameras.

    Meta-World's own ``reset`` ignores the seed, and its environments have one camera.

    Args:
        task: name of the task.
    """

    def __init__(self, task: str) -> None:
        world = _environments()[task + VERSION]()
        # What `set_task` and Meta-World's own goal-observable classes set.
        world._partially_observable = False
        world._freeze_rand_vec = False
        world.seeded_rand_vec = True
        world._set_task_called = True
        world.__dict__.pop("sawyer_observation_space", None)
        super().__init__(world)
        self.world: Any = world
        self._renderer: mujoco.Renderer | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw the scene of a seed."""
        if seed is not None:
            self.world.seed(seed)
        return self.world.reset(options=options)

    def images(self) -> Mapping[str, NDArray[np.uint8]]:
        """The picture of each camera."""
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self.world.model, IMAGE_SIZE, IMAGE_SIZE)
            for effect in EFFECTS:
                self._renderer.scene.flags[effect] = 0
        pictures = {}
        for name, camera in CAMERAS.items():
            self._renderer.update_scene(self.world.data, camera)
            picture = self._renderer.render()
            pictures[name] = (picture[::-1, ::-1] if camera in INVERTED else picture).copy()
        return pictures

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        super().close()


def measured(env: gymnasium.Env[Any, Any], observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the hand is, and how far its fingers are apart. Shape (7,)."""
    return np.array([*observation[:3], *DOWN, FINGERS * observation[3]])


def commanded(env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
    """The point that the hand is drawn to. Shape (3,) [m]."""
    return env.get_wrapper_attr("data").mocap_pos[0]


def images(env: gymnasium.Env[Any, Any], observation: Any) -> Mapping[str, NDArray[np.uint8]]:
    """The pictures of both cameras."""
    return env.get_wrapper_attr("images")()


def keypoints(
    env: gymnasium.Env[Any, Any], observation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The object that the expert goes for, and the goal. Shape (6,) [m]."""
    return np.concatenate([observation[4:7], observation[-3:]])


def expert(task: str) -> Expert:
    """Meta-World's own policy of a task."""
    from metaworld.policies import ENV_POLICY_MAP

    warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
    return ENV_POLICY_MAP[task + VERSION]().get_action


def describe() -> EnvironmentDescription:
    """Meta-World for ``--env metaworld``.

    Raises:
        AdapterError: the package is not there.
    """
    _environments()
    return EnvironmentDescription(
        name="metaworld",
        tasks={task: instruction(task) for task in TASKS},
        make=MetaWorldTask,
        action=BoxAction(
            scale=0.01,
            anchor="commanded",
            position=(0, 1, 2),
            gripper=3,
            gripper_open=-1.0,
            gripper_closed=1.0,
            gripper_width=FINGERS,
        ),
        measured=measured,
        commanded=commanded,
        ticks=TICKS,
        time_limit=TIME_LIMIT,
        cameras=tuple(CAMERAS),
        images=images,
        image_size=IMAGE_SIZE,
        expert="vla_distill.environments.metaworld:expert",
        keypoints=keypoints,
    )


def _environments() -> Mapping[str, Any]:
    """Meta-World's environments by name.

    Raises:
        AdapterError: the package is not there.
    """
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    except ImportError as error:
        raise AdapterError(
            "package metaworld",
            got=error,
            expected="an environment that has it: `make metaworld`, docs/gymnasium.md",
        ) from error
    return ALL_V3_ENVIRONMENTS
