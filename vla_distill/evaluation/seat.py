"""One environment of a rollout: a simulated arm, its chunk player and its controller."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from vla_distill.environments.protocol import ControlledEnvironment, View
from vla_distill.evaluation.cause import REFUSED
from vla_distill.evaluation.episode import EpisodeResult, EpisodeSpec
from vla_distill.evaluation.seams import SeamMeter
from vla_policy.chunk_stream import ChunkStream
from vla_policy.chunking import Chunking
from vla_policy.chunking.switch import Switch
from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.player import ChunkPlayer
from vla_sim.constants import STEP_DT

REFUSAL_TIMEOUT = 2.0
"""The episode ends when the gate has refused every command for this long [s], as a goal would."""
_EPSILON = 1e-6


class Watcher(Protocol):
    """Looks on at an episode, to draw or record it."""

    def see(self, view: View, instruction: str) -> None:
        """Called at every camera image, 10 times a second."""
        ...

    def hear(self, chunk: ActionChunk) -> None:
        """Called with every chunk that the policy gives."""
        ...

    def finish(self, view: View, result: EpisodeResult) -> None:
        """Called once, when the episode has ended."""
        ...


class Seat:
    """One episode being played.

    Args:
        environment: the world; it is reset to the episode's scene.
        spec: the episode.
        memory: the policy's memory of this episode.
        watcher: looks on, or None.
        chunking: how its chunks are joined; plain switching by default.
        stream: the way of its chunks; one without faults by default.
    """

    def __init__(
        self,
        environment: ControlledEnvironment,
        spec: EpisodeSpec,
        memory: Memory,
        watcher: Watcher | None = None,
        chunking: Chunking | None = None,
        stream: ChunkStream | None = None,
    ) -> None:
        self.spec, self.memory, self.result = spec, memory, None
        self._environment, self._watcher = environment, watcher
        self._scene = environment.reset(spec)
        self._dt = environment.control_dt
        self._image_ticks = round(STEP_DT / self._dt)
        self._player = ChunkPlayer()
        self._player.reset(environment.commanded())
        self._now, self._tick = environment.sense(), 0
        self._chunking, self._stream = chunking or Switch(), stream or ChunkStream()
        self._seams = SeamMeter(self._dt)
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

        Pictures are taken once a chunk step, as the robot's cameras do, but rendered only if a
        chunk will be asked for before the next ones.
        """
        self._now = self._environment.sense()
        self._take()
        if self._tick % self._image_ticks:
            return
        self._environment.look()
        if self._watcher:
            self._watcher.see(self._environment, self._scene.instruction)
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
        target = self._player.sample(self._now)
        newest = self._player.newest if target is not None else None
        stamp = newest.stamp if newest else None
        self._seams.see(target, stamp)
        act = self._environment.act(target, stamp)
        if target is None:
            self._starved += 1
            self._refused_in_a_row = 0
        else:
            self._limited += act.limited
            self._refused += not act.accepted
            self._refused_in_a_row = 0 if act.accepted else self._refused_in_a_row + 1
        self._tick += 1
        elapsed = self._tick * self._dt
        status = self._environment.status()
        refused = self._refused_in_a_row * self._dt >= REFUSAL_TIMEOUT
        late = elapsed >= self._scene.time_limit - _EPSILON
        if status.success or status.ended or refused or late:
            self._finish(status.success, elapsed, status.progress, refused)

    def _take(self) -> None:
        """Play what has arrived."""
        for chunk in self._stream.take(self._now):
            self._player.add(self._chunking.receive(chunk, self._now))

    def _next_request(self) -> float:
        """Earliest time of the next request [s]: when it is due, and the policy is free."""
        return max(self._free_at, self._wanted_at)

    def _observe(self) -> Observation:
        names = self._environment.cameras
        return Observation(
            images={name: self._environment.render(name) for name in names},
            state=self._environment.state(),
            instruction=self._scene.instruction,
            stamp=self._now,
            input_stamps={**dict.fromkeys(names, self._now), "state": self._now},
        )

    def _finish(self, success: bool, elapsed: float, progress: float, refused: bool) -> None:
        self.result = EpisodeResult(
            task=self.spec.task,
            seed=self.spec.seed,
            instruction=self._scene.instruction,
            target=self._scene.target,
            success=bool(success),
            seconds=round(elapsed, 3),
            cause="" if success else REFUSED if refused else self._environment.cause(),
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
            self._watcher.finish(self._environment, self.result)
