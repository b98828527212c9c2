"""Plain switching: the newest chunk is played, from the last command on."""

from __future__ import annotations

from typing import ClassVar

from vla_policy.contract import ActionChunk, Memory


class Switch:
    """Changes nothing; the player's way from the last command to the next target is the seam."""

    name: ClassVar[str] = "switch"

    def ask(self, memory: Memory, stamp: float) -> None:
        """Let the chunk be computed free of the one before."""
        memory.frozen_until = None

    def receive(self, chunk: ActionChunk, now: float) -> ActionChunk:
        """Play it as it is."""
        return chunk

    def forget(self) -> None:
        """There is nothing to forget."""
