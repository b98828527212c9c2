"""Fading: what is played goes over from the old chunk to the new one within a short time.

A rival of our own to real-time chunking. The new chunk is computed free, so it answers what is seen
now, and is in full force after the fading; the velocity changes at a seam by the chunks' distance
over that time, instead of over what is left of a chunk step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from vla_policy.contract import ActionChunk, Memory
from vla_policy.trajectory import between, due_times, poses_at

_EPSILON = 1e-6


@dataclass
class Fade:
    """Mixes the newest chunk with what was played before it.

    Attributes:
        duration: from a chunk's arrival until it is played alone [s].
    """

    duration: float = 0.2
    name: ClassVar[str] = "fade"
    _playing: ActionChunk | None = field(default=None, init=False)

    def ask(self, memory: Memory, stamp: float) -> None:
        """Let the chunk be computed free of the one before."""
        memory.frozen_until = None

    def receive(self, chunk: ActionChunk, now: float) -> ActionChunk:
        """Mix it with what is in play, as far as that reaches; one out of order stays as it is."""
        old = self._playing
        if old and (chunk.stamp, chunk.sequence) <= (old.stamp, old.sequence):
            return chunk
        self._playing = chunk if old is None else self._mixed(old, chunk, now)
        return self._playing

    def forget(self) -> None:
        """Nothing is in play."""
        self._playing = None

    def _mixed(self, old: ActionChunk, new: ActionChunk, now: float) -> ActionChunk:
        due, known = due_times(new), due_times(old)
        share = np.clip((due - now) / self.duration, 0.0, 1.0)
        share[due > known[-1] + _EPSILON] = 1.0
        before = poses_at(old.targets, known, due)
        mixed = between(before, new.targets, share)
        fresh = share == 1.0
        mixed[fresh] = new.targets[fresh]
        return replace(new, targets=mixed.astype(np.float32))
