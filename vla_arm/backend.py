"""What drives an arm: the interface that every backend implements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vla_arm.command import JointCommand


@dataclass(frozen=True)
class ArmState:
    """The arm as measured.

    Attributes:
        positions: Shape (6,), float64 [rad].
        velocities: Shape (6,), float64 [rad/s].
        gripper: distance between the finger pads [m].
        stamp: of the measurement [s].
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    gripper: float
    stamp: float


@runtime_checkable
class ArmBackend(Protocol):
    """Sends what the safety gate has passed, and measures. Nothing else may call ``send``."""

    @property
    def trouble(self) -> str:
        """Why the arm cannot be moved, until :meth:`engage`; empty if it can."""
        ...

    @property
    def passive(self) -> str:
        """Why the arm follows no commands by intent, as when guided by hand; empty if it does."""
        ...

    @property
    def note(self) -> str:
        """What a user must know while all is well, e.g. that nothing is sent; mostly empty."""
        ...

    def connect(self) -> None:
        """Reach the arm; it does not move by this.

        Raises:
            ArmError: the arm does not answer.
        """
        ...

    def engage(self) -> str:
        """Hold the arm where it is, ready to follow; ends a trouble whose cause is gone.

        Returns:
            Why that cannot be now; empty if it can.
        """
        ...

    def damp(self) -> None:
        """Let the arm come to rest without stiffness, where it can; never waits."""
        ...

    def send(self, command: JointCommand) -> None:
        """Send one tick of joint targets."""
        ...

    def state(self) -> ArmState | None:
        """The newest measurement, or None while there is none."""
        ...

    def stop(self) -> None:
        """Bring the arm to rest and let go of it; safe to call twice."""
        ...
