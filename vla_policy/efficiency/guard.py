"""The runtime guard: now and then a chunk is computed in full too, with the same noise.

How far the two lie apart says what saving costs right now, on this robot, in this scene.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.efficiency.budget import Adjustable
from vla_policy.errors import PolicyError

DUTY = 0.05
"""Greatest share of the time that the guard may take."""
TARGETS = 4
"""Targets of a chunk that are compared: those that may be executed before the next one."""


@dataclass(frozen=True)
class Disagreement:
    """How far a chunk lies from the one computed in full, at its worst target.

    Attributes:
        millimetres: between positions [mm].
        degrees: between orientations [deg].
    """

    millimetres: float
    degrees: float

    def __str__(self) -> str:
        return f"{self.millimetres:.1f} mm, {self.degrees:.1f} degrees"


def disagreement(chunk: ActionChunk, full: ActionChunk) -> Disagreement:
    """Compare two chunks of the same observation."""
    one, other = chunk.targets[:TARGETS].astype(float), full.targets[:TARGETS].astype(float)
    apart = np.linalg.norm(one[:, :3] - other[:, :3], axis=1)
    turn = Rotation.from_rotvec(one[:, 3:6]).inv() * Rotation.from_rotvec(other[:, 3:6])
    return Disagreement(float(1e3 * apart.max()), float(np.degrees(turn.magnitude()).max()))


class Guard:
    """Computes some chunks again, when there is time.

    Args:
        policy: with an adjustable plan; its weights are shared, its plan stays as it is.
        clock: steady time [s].

    Attributes:
        every: chunks from one look to the next at least; 0 never looks.
        spare: time from one chunk's start to the next one's [s].

    Raises:
        PolicyError: the policy's plan is not adjustable.
    """

    def __init__(self, policy: object, *, clock: Callable[[], float] = time.perf_counter) -> None:
        plan = getattr(policy, "plan", None)
        if not isinstance(plan, Adjustable):
            raise PolicyError("guard", got=type(plan).__name__, expected="an adjustable plan")
        self.every, self.spare = 0, 0.0
        self._plan, self._clock = plan, clock
        self._whole = plan.whole
        full = copy.copy(plan)
        full.budget = self._whole
        self._full = copy.copy(policy)
        self._full.plan = full  # type: ignore[attr-defined]
        self._since = 0
        self._free_at = -np.inf
        self._took: float | None = None

    def look(
        self, observation: Observation, memory: Memory, chunk: ActionChunk
    ) -> Disagreement | None:
        """Compare a chunk with the full one, if it is time to and there is time for it.

        Args:
            observation: what the chunk was made of.
            memory: as it was before the chunk; stays as it is.
            chunk: what was made.
        """
        self._since += 1
        if not self.every or self._since < self.every or self._plan.budget == self._whole:
            return None
        begin = self._clock()
        spent = 1e-3 * chunk.report.milliseconds.get("total", 0.0)
        # Never looked yet: take it that full compute costs three times as much.
        expected = self._took if self._took is not None else 3.0 * spent
        if begin < self._free_at or spent + expected > self.spare:
            return None
        full = self._full.infer([observation], [replace(memory, store={})])[0]  # type: ignore[attr-defined]
        self._took = self._clock() - begin
        self._since, self._free_at = 0, begin + self._took / DUTY
        return disagreement(chunk, full)
