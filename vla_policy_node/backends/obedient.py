"""What backends share whose arm has a driver of its own, which looks after it and takes targets."""

from __future__ import annotations

from vla_arm.backend import ArmState
from vla_policy_node.backends.ear import JointStatesEar


class Obedient:
    """Nothing to engage, and no trouble but that somebody else speaks for the arm.

    Args:
        ear: takes the joint states.
    """

    passive = note = ""

    def __init__(self, ear: JointStatesEar) -> None:
        self.ear = ear

    @property
    def trouble(self) -> str:
        """See :class:`ArmBackend`."""
        return self.ear.trouble

    def connect(self) -> None:
        """See :class:`ArmBackend`."""
        self.ear.listen()

    def engage(self) -> str:
        """See :class:`ArmBackend`."""
        return self.ear.trouble

    def damp(self) -> None:
        """See :class:`ArmBackend`; position servos keep the last target."""

    def state(self) -> ArmState | None:
        """See :class:`ArmBackend`."""
        return self.ear.state

    def stop(self) -> None:
        """See :class:`ArmBackend`; position servos keep the last target."""
