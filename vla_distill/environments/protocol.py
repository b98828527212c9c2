"""What an evaluated episode needs of the world it is played in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_distill.evaluation.episode import EpisodeSpec


@dataclass(frozen=True)
class Scene:
    """An episode that has begun.

    Attributes:
        instruction: what is to be done, in words.
        target: the object asked for; empty where the world does not say.
        time_limit: time after which the episode has failed [s].
    """

    instruction: str
    target: str
    time_limit: float


@dataclass(frozen=True)
class Act:
    """What became of a command.

    Attributes:
        accepted: whether it was executed; else the arm held still.
        limited: whether it had to be limited.
    """

    accepted: bool = True
    limited: bool = False


@dataclass(frozen=True)
class Status:
    """How the episode stands.

    Attributes:
        success: whether the task is done.
        progress: how far it got, 0 to 1; 0 where the world does not say.
        ended: whether the world ended the episode by itself.
    """

    success: bool
    progress: float = 0.0
    ended: bool = False


class View(Protocol):
    """Something with cameras."""

    @property
    def cameras(self) -> Sequence[str]:
        """Names of the policy's cameras."""
        ...

    def render(self, camera: str) -> NDArray[np.uint8]:
        """What the policy sees. Shape (S, S, 3), RGB."""
        ...

    def overview(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """A picture for people, of this height and width [px]. Shape (H, W, 3), RGB."""
        ...


class ControlledEnvironment(View, Protocol):
    """A world with an arm that takes end-effector poses, one every ``control_dt`` seconds.

    A pose is position [m], rotation vector [rad] and gripper opening [m] in the base frame.
    An episode: ``reset``; then, tick by tick, ``sense``, ``look`` when pictures are due, ``act``,
    ``status``.
    """

    @property
    def control_dt(self) -> float:
        """Time between commands [s]."""
        ...

    def reset(self, spec: EpisodeSpec) -> Scene:
        """Begin an episode; equal specs begin equal ones."""
        ...

    def sense(self) -> float:
        """Take in the arm's state as it is now; returns its time [s]."""
        ...

    def state(self) -> NDArray[np.float32]:
        """The state last taken in, as in ``Observation.state``. Shape (8,)."""
        ...

    def commanded(self) -> NDArray[np.float64]:
        """The pose that was last commanded. Shape (7,)."""
        ...

    def look(self) -> None:
        """Called when the cameras take their pictures, to remember what led to a failure."""
        ...

    def act(self, target: NDArray[np.float64] | None, stamp: float | None) -> Act:
        """Command a pose and let one tick pass.

        Args:
            target: Shape (7,); None to hold still.
            stamp: of the observation that the target rests on [s].
        """
        ...

    def status(self) -> Status:
        """How the episode stands."""
        ...

    def cause(self) -> str:
        """Why the episode failed, in one or two words."""
        ...

    def close(self) -> None:
        """Free the renderers."""
        ...
