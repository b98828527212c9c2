"""Temporal ensembling: play the mean of what all chunks say about a moment.

Tony Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (ACT),
arXiv 2304.13705, section IV-B and algorithm 2: the predictions for a moment, oldest first, are
weighted by w_i = exp(-m i), m = 0.01 in the released code, where w_0 is the oldest's.

Where we leave ACT: it asks for a chunk every step, we every few; chunks whose stamps lie between
the steps of others are interpolated; rotations are averaged as rotations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from scipy.spatial.transform import Rotation

from vla_policy.contract import ActionChunk, Memory
from vla_policy.trajectory import due_times, poses_at

_EPSILON = 1e-6


@dataclass
class TemporalEnsemble:
    """Averages chunks.

    Attributes:
        decay: m, how much less each newer chunk counts than the one before.
    """

    decay: float = 0.01
    name: ClassVar[str] = "ensemble"
    _chunks: list[ActionChunk] = field(default_factory=list, init=False)

    def ask(self, memory: Memory, stamp: float) -> None:
        """Let the chunk be computed free of the one before."""
        memory.frozen_until = None

    def receive(self, chunk: ActionChunk, now: float) -> ActionChunk:
        """Average it with the older ones, as far as they reach; one out of order stays as it is."""
        newest = self._chunks[-1] if self._chunks else None
        if newest and (chunk.stamp, chunk.sequence) <= (newest.stamp, newest.sequence):
            return chunk
        due = due_times(chunk)
        older = [one for one in self._chunks if due_times(one)[-1] >= due[0] - _EPSILON]
        self._chunks = [*older, chunk]
        return replace(chunk, targets=self._mean(due)) if older else chunk

    def forget(self) -> None:
        """Forget the older chunks."""
        self._chunks.clear()

    def _mean(self, due: np.ndarray) -> np.ndarray:
        """The weighted mean of all chunks at some times. Shape (T, 7), float32."""
        poses = np.stack([poses_at(one.targets, due_times(one), due) for one in self._chunks])
        reach = np.array([due_times(one)[-1] for one in self._chunks])[:, None] >= due - _EPSILON
        age = np.cumsum(reach, axis=0) - 1  # i of the paper: 0 is the oldest that reaches it
        weights = np.where(reach, np.exp(-self.decay * age), 0.0)
        weights /= weights.sum(axis=0)
        mean = np.einsum("ct,ctd->td", weights, poses)
        for step in range(len(due)):
            has = reach[:, step]
            turns = Rotation.from_rotvec(poses[has, step, 3:6])
            mean[step, 3:6] = turns.mean(weights[has, step]).as_rotvec()
        assert math.isclose(float(weights.sum()), len(due)), "weights of a moment sum to one"
        return mean.astype(np.float32)
