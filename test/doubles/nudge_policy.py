"""A policy without a network: what it wants depends on all that it is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_policy.contract import ActionChunk, ComputeReport, Continuation, Memory, Observation


class NudgePolicy:
    """Goes on from the state by image brightness, noise and the chunk before.

    Attributes:
        broken: an inference raises this, if not empty.
        asked: observations so far.
    """

    cameras: Sequence[str] = ("front", "wrist")
    image_size = 16
    step_dt = 0.1
    horizon = 8
    policy_hash = "nudge"
    continues_chunks = True

    def __init__(self) -> None:
        self.broken, self.asked = "", 0

    def start(self, seed: int) -> Memory:
        return Memory(seed)

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        if self.broken:
            raise RuntimeError(self.broken)
        return [self._one(*pair) for pair in zip(observations, memories, strict=True)]

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        observation.validate(self.cameras)
        self.asked += 1
        memory.store["asked"] = memory.store.get("asked", 0) + 1
        noise = np.random.default_rng([memory.seed, memory.sequence]).standard_normal((8, 3))
        targets = np.tile(observation.state[:7], (8, 1))
        light = sum(float(observation.images[name].mean()) for name in self.cameras)
        targets[:, :3] += 1e-4 * noise + 1e-5 * light
        continues = None
        if memory.previous is not None and memory.frozen_until is not None:
            targets[:, :3] += 0.1 * memory.previous.targets[:, :3] + 1e-3 * memory.frozen_until
            continues = Continuation(memory.previous.stamp, memory.frozen_until)
        chunk = ActionChunk(
            targets=targets,
            stamp=observation.stamp,
            step_dt=self.step_dt,
            sequence=memory.sequence,
            policy_hash=self.policy_hash,
            instruction=observation.instruction,
            seed=memory.seed,
            input_stamps=observation.input_stamps,
            report=ComputeReport((0, 2), (18, 9), (4, 2), 0.5, {"total": 1.0}),
            continues=continues,
        )
        memory.sequence += 1
        memory.previous = chunk
        return chunk
