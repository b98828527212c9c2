"""A policy whose numbers hang on every byte of what it sees: ``python:digest_policy.make``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from vla_policy.contract import ActionChunk, ComputeReport, Memory, Observation
from vla_sim.constants import CAMERAS, IMAGE_SIZE, STEP_DT

HORIZON = 8
RISE = 0.004
"""A step, so that the arm moves and no two states are alike [m]."""
SPREAD = 0.002
"""How far the digest moves a target, at most [m]."""


def digest(observation: Observation) -> bytes:
    """Of images, state, instruction and stamps."""
    work = hashlib.sha256(observation.state.tobytes())
    for name in sorted(observation.images):
        work.update(name.encode() + observation.images[name].tobytes())
    work.update(repr(sorted(observation.input_stamps.items())).encode())
    work.update(repr((observation.stamp, observation.instruction)).encode())
    return work.digest()


class DigestPolicy:
    """Rises slowly and trembles by the digest of the observation and by its noise."""

    cameras: Sequence[str] = CAMERAS
    image_size = IMAGE_SIZE
    step_dt = STEP_DT
    horizon = HORIZON
    policy_hash = "digest"

    def start(self, seed: int) -> Memory:
        return Memory(seed)

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        return [self._one(o, m) for o, m in zip(observations, memories, strict=True)]

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        observation.validate(self.cameras)
        seeds = [*digest(observation), memory.seed, memory.sequence]
        targets = np.tile(np.append(observation.state[:6], observation.state[7]), (HORIZON, 1))
        targets[:, 2] += RISE * np.arange(1, HORIZON + 1)
        targets[:, :3] += SPREAD * np.random.default_rng(seeds).uniform(-1, 1, (HORIZON, 3))
        chunk = ActionChunk(
            targets=targets.astype(np.float32),
            stamp=observation.stamp,
            step_dt=STEP_DT,
            sequence=memory.sequence,
            policy_hash=self.policy_hash,
            instruction=observation.instruction,
            seed=memory.seed,
            input_stamps=observation.input_stamps,
            report=ComputeReport((0, 1), (18, 9), (10, 5), 0.25, {"total": 1.0}),
        )
        memory.sequence += 1
        return chunk


def make(device: str = "cpu") -> DigestPolicy:
    return DigestPolicy()
