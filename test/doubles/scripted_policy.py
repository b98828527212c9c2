"""A policy that needs no training: it plays what the expert does in a world of its own.

``SCENES`` names task and seed of each instruction that it knows, so that a node in another process
finds its way by the instruction alone: ``policy:=python:scripted_policy.make``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_policy.contract import ActionChunk, ComputeReport, Memory, Observation
from vla_policy.player import ChunkPlayer
from vla_sim.constants import CAMERAS, CONTROL_DT, IMAGE_SIZE, STEP_DT
from vla_sim.experts import Expert
from vla_sim.gated_arm import GatedArm
from vla_sim.simulation import Simulation

SCENES = "LEAN_VLA_TEST_SCENES"
"""Environment variable: ``task:seed`` words."""
HORIZON = 16
REPLAN_STEPS = 2


def demonstrate(task: str, seed: int) -> tuple[str, NDArray[np.float64]]:
    """Instruction of a scene, and the expert's targets in it, one a step. Shape (N, 7)."""
    sim = Simulation()
    episode = sim.reset(task, seed)
    expert = Expert(sim, np.random.default_rng(0))
    arm, player = GatedArm(sim), ChunkPlayer()
    player.reset(arm.commanded())
    targets = []
    while not expert.done and len(targets) < 250:
        targets.append(expert.act())
        now = sim.time
        chunk = ActionChunk(np.float32(targets[-1:]), now, STEP_DT, sequence=len(targets))
        player.add(chunk)
        for tick in range(5):
            arm.act(player.sample(now + tick * CONTROL_DT), now)
    sim.close()
    return episode.instruction, np.array(targets)


class ScriptedPolicy:
    """Plays stored targets; the number of the chunk says where it has got to.

    Attributes:
        plans: instruction -> targets. Shape (N, 7).
        gate: cleared, it makes the policy think until it is set again.
        broken: an inference raises this, if not empty.
        poison: targets are NaN.
        spoil: what else is done to each chunk.
    """

    cameras: Sequence[str] = CAMERAS
    image_size = IMAGE_SIZE
    step_dt = STEP_DT
    horizon = HORIZON
    policy_hash = "scripted"

    def __init__(self, plans: dict[str, NDArray[np.float64]]) -> None:
        self.plans = plans
        self.gate = threading.Event()
        self.gate.set()
        self.broken, self.poison = "", False
        self.spoil: Callable[[ActionChunk], ActionChunk] = lambda chunk: chunk
        self.observations: list[Observation] = []

    def start(self, seed: int) -> Memory:
        return Memory(seed)

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        self.gate.wait(30.0)
        if self.broken:
            raise RuntimeError(self.broken)
        return [self._one(o, m) for o, m in zip(observations, memories, strict=True)]

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        observation.validate(self.cameras)
        self.observations.append(observation)
        plan = self.plans.get(observation.instruction)
        if plan is None:  # stay
            plan = np.tile(np.append(observation.state[:6], observation.state[7]), (1, 1))
        begin = memory.sequence * REPLAN_STEPS
        rows = np.minimum(np.arange(begin, begin + HORIZON), len(plan) - 1)
        targets = plan[rows].astype(np.float32)
        if self.poison:
            targets[:] = np.nan
        chunk = ActionChunk(
            targets=targets,
            stamp=observation.stamp,
            step_dt=STEP_DT,
            sequence=memory.sequence,
            policy_hash=self.policy_hash,
            instruction=observation.instruction,
            seed=memory.seed,
            input_stamps=observation.input_stamps,
            report=ComputeReport((0, 1), (18, 18), (10, 10), 0.1, {"total": 1.0}),
        )
        memory.sequence += 1
        memory.previous = chunk
        return self.spoil(chunk)


def make(device: str = "cpu") -> ScriptedPolicy:
    """Make the policy of the scenes in the environment."""
    words = os.environ.get(SCENES, "").split()
    scenes = [(task, int(seed)) for task, seed in (word.split(":") for word in words)]
    return ScriptedPolicy(dict(demonstrate(task, seed) for task, seed in scenes))
