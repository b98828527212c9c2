"""One environment of a rollout: a simulated arm, its chunk player and its controller."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from vla_arm.command import Reason
from vla_arm.controller import EndEffectorController
from vla_arm.joint_table import X5
from vla_arm.kinematics import ArmKinematics
from vla_arm.limits import ArmLimits
from vla_distill.evaluation.cause import REFUSED, Witness
from vla_distill.evaluation.episode import EpisodeResult, EpisodeSpec
from vla_distill.evaluation.seams import SeamMeter
from vla_policy.chunk_stream import ChunkStream
from vla_policy.chunking import Chunking
from vla_policy.chunking.switch import Switch
from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.player import ChunkPlayer
from vla_sim.constants import CONTROL_DT, STEP_DT
from vla_sim.simulation import Simulation

REFUSAL_TIMEOUT = 2.0
"""The episode ends when the gate has refused every command for this long [s], as a goal would."""
IMAGE_TICKS = round(STEP_DT / CONTROL_DT)
_EPSILON = 1e-6


class Watcher(Protocol):
    """Looks on at an episode, to draw or record it."""

    def see(self, simulation: Simulation, instruction: str) -> None:
        """Called at every camera image, 10 times a second."""
        ...

    def hear(self, chunk: ActionChunk) -> None:
        """Called with every chunk that the policy gives."""
        ...

    def finish(self, simulation: Simulation, result: EpisodeResult) -> None:
        """Called once, when the episode has ended."""
        ...


class Seat:
    """One episode being played.

    Args:
        simulation: the world; it is reset to the episode's scene.
        spec: the episode.
        memory: the policy's memory of this episode.
        limits: limits of the arm.
        watcher: looks on, or None.
        chunking: how its chunks are joined; plain switching by default.
        stream: the way of its chunks; one without faults by default.
    """

    def __init__(
        self,
        simulation: Simulation,
        spec: EpisodeSpec,
        memory: Memory,
        limits: ArmLimits,
        watcher: Watcher | None = None,
        chunking: Chunking | None = None,
        stream: ChunkStream | None = None,
    ) -> None:
        self.spec, self.memory, self.result = spec, memory, None
        self._simulation, self._watcher = simulation, watcher
        self._episode = simulation.reset(
            spec.task, spec.seed, instructions=spec.instructions, swap=spec.swap
        )
        self._kinematics = ArmKinematics(X5)
        self._controller = EndEffectorController(X5, limits, CONTROL_DT)
        self._joints = simulation.joint_state()
        self._controller.reset(self._joints.positions, self._joints.gripper)
        self._player = ChunkPlayer()
        self._player.reset(self._controller.commanded_pose())
        self._witness = Witness(simulation, self._episode)
        self._now, self._tick = self._joints.stamp, 0
        self._chunking, self._stream = chunking or Switch(), stream or ChunkStream()
        self._seams = SeamMeter(CONTROL_DT)
        self._free_at = self._wanted_at = -math.inf
        self._observation: Observation | None = None
        self._costs: list[float] = []
        self._refused = self._limited = self._starved = self._refused_in_a_row = 0

    result: EpisodeResult | None

    @property
    def observation(self) -> Observation:
        """The newest observation."""
        assert self._observation is not None, "a chunk is wanted only after a look"
        return self._observation

    def look(self) -> None:
        """Start a tick: take in a chunk that has arrived, and the cameras if they are due.

        Pictures are taken on every fifth tick, as the robot's cameras do, but rendered only if a
        chunk will be asked for before the next ones.
        """
        self._joints = self._simulation.joint_state()
        self._now = self._joints.stamp
        self._take()
        if self._tick % IMAGE_TICKS:
            return
        self._witness.see()
        if self._watcher:
            self._watcher.see(self._simulation, self._episode.instruction)
        if self._next_request() < self._now + STEP_DT - _EPSILON:
            self._observation = self._observe()

    def wants_chunk(self) -> bool:
        """Whether the policy is to be asked now."""
        return self._next_request() <= self._now + _EPSILON

    def ask(self) -> tuple[Observation, Memory]:
        """What the policy is asked with."""
        self._chunking.ask(self.memory, self.observation.stamp)
        return self.observation, self.memory

    def receive(self, chunk: ActionChunk, latency: float, replan_steps: int) -> None:
        """Take a chunk that the policy thinks about for ``latency`` seconds from now on.

        The next one is wanted ``replan_steps`` of its steps after it, and not before it is thought.
        """
        self._costs.append(chunk.report.gflops)
        if self._watcher:
            self._watcher.hear(chunk)
        self._free_at = self._now + latency
        self._wanted_at = chunk.stamp + replan_steps * chunk.step_dt
        self._stream.send(chunk, self._free_at)
        self._take()

    def advance(self) -> None:
        """Finish the tick: command what is due, step the world, and see whether it is over."""
        self._controller.observe(self._joints.positions)
        target = self._player.sample(self._now)
        if target is None:
            command = self._controller.hold(Reason.POLICY_HOLD)
            self._starved += 1
            self._refused_in_a_row = 0
            self._seams.see(None, None)
        else:
            newest = self._player.newest
            self._seams.see(target, newest.stamp if newest else None)
            command = self._controller.command(
                target, self._now, self._now, newest.stamp if newest else None
            )
            self._limited += command.limited
            self._refused += not command.accepted
            self._refused_in_a_row = 0 if command.accepted else self._refused_in_a_row + 1
        self._simulation.step(command.positions, command.gripper)
        self._tick += 1
        elapsed = self._tick * CONTROL_DT
        status = self._simulation.status()
        refused = self._refused_in_a_row * CONTROL_DT >= REFUSAL_TIMEOUT
        if status.success or refused or elapsed >= self._episode.time_limit - _EPSILON:
            self._finish(status.success, elapsed, status.progress, refused)

    def _take(self) -> None:
        """Play what has arrived."""
        for chunk in self._stream.take(self._now):
            self._player.add(self._chunking.receive(chunk, self._now))

    def _next_request(self) -> float:
        """Earliest time of the next request [s]: when it is due, and the policy is free."""
        return max(self._free_at, self._wanted_at)

    def _observe(self) -> Observation:
        joints = self._joints
        pose = self._kinematics.forward(joints.positions)
        opening = (joints.gripper, self._controller.commanded_pose()[6])
        cameras = self._simulation.cameras
        return Observation(
            images={name: self._simulation.render(name) for name in cameras},
            state=np.concatenate([pose, opening]).astype(np.float32),
            instruction=self._episode.instruction,
            stamp=joints.stamp,
            input_stamps={**dict.fromkeys(cameras, joints.stamp), "state": joints.stamp},
        )

    def _finish(self, success: bool, elapsed: float, progress: float, refused: bool) -> None:
        self.result = EpisodeResult(
            task=self.spec.task,
            seed=self.spec.seed,
            instruction=self._episode.instruction,
            target=self._episode.target,
            success=bool(success),
            seconds=round(elapsed, 3),
            cause="" if success else REFUSED if refused else self._witness.cause(),
            progress=round(float(progress), 4),
            chunks=len(self._costs),
            refused=self._refused,
            limited=self._limited,
            starved=self._starved,
            gflops=float(np.mean(self._costs)) if self._costs else 0.0,
            seam_jump=self._seams.jump,
            roughness=self._seams.roughness,
        )
        if self._watcher:
            self._watcher.finish(self._simulation, self.result)
