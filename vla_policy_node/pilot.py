"""What to command for each state of the arm: asks for chunks in time, plays them, or says why not.

No ROS here: the node feeds it with states, images and thoughts, and sends what it answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_policy.chunking import Chunking
from vla_policy.chunking.switch import Switch
from vla_policy.contract import ActionChunk, Memory, Policy, validate_instruction
from vla_policy.errors import PolicyError
from vla_policy.noise import stamp_seed
from vla_policy.observation import StateHistory, assemble_observation
from vla_policy.player import ChunkPlayer
from vla_policy_node import clock
from vla_policy_node.camera import Cameras
from vla_policy_node.inference import Inference, Thought

_EPSILON = 1e-6
PATIENCE = 1.0
"""A policy that lets the arm wait for longer is complained of [s]."""
NO_INSTRUCTION = "no instruction"


@dataclass(frozen=True)
class Answer:
    """What to command.

    Attributes:
        target: position [m], rotation vector [rad], gripper opening [m], Shape (7,); None holds.
        reason: why to hold; empty with a target.
        chunk: the chunk that the target comes from.
    """

    target: NDArray[np.float64] | None
    reason: str = ""
    chunk: ActionChunk | None = None


class Pilot:
    """Follows one instruction at a time.

    Args:
        policy: the policy; only its ``start`` is called here.
        inference: where the policy thinks.
        cameras: the newest images.
        synchronous: wait for the chunk that is due rather than play on.
        synchronous_timeout: how long to wait for it once it was asked for [s].
        synchronous_image_timeout: how long to wait for the images to ask with [s].
        seed_by_stamp: a chunk's noise hangs on the stamp of its observation too.
        chunking: how a new chunk takes over from the old one; plain switching by default.
    """

    def __init__(
        self,
        policy: Policy,
        inference: Inference,
        cameras: Cameras,
        *,
        synchronous: bool = False,
        synchronous_timeout: float = 5.0,
        synchronous_image_timeout: float = 5.0,
        seed_by_stamp: bool = False,
        chunking: Chunking | None = None,
    ) -> None:
        self._policy, self._inference, self._cameras = policy, inference, cameras
        self._synchronous, self._chunk_timeout = synchronous, synchronous_timeout
        self._image_timeout = synchronous_image_timeout
        self._seed_by_stamp, self._seed = seed_by_stamp, 0
        self._player = ChunkPlayer()
        self._chunking = chunking or Switch()
        self._now = 0.0
        self._memory: Memory | None = None
        self._commanded: NDArray[np.float64] | None = None
        self._waiting_since: float | None = None
        self._gave_up = self._failed = False
        self._idle_since: float | None = None
        self._episode = 0
        self.history = StateHistory()
        self.instruction = self.trouble = self.fault = ""
        self.chunks = self.discarded = self.malformed = 0

    @property
    def newest(self) -> ActionChunk | None:
        """The chunk in play."""
        return self._player.newest

    @property
    def complaint(self) -> str:
        """What is wrong just now; empty if nothing is."""
        if self.trouble or self._idle_since is None or not self._inference.busy:
            return self.trouble
        return "the policy does not answer" if self._now - self._idle_since > PATIENCE else ""

    def begin(self, instruction: str, seed: int) -> None:
        """Follow an instruction from now on.

        Raises:
            PolicyError: it is empty or too long.
        """
        validate_instruction(instruction)
        self.stop()
        self.instruction, self._memory = instruction, self._policy.start(seed)
        self._seed = seed
        self.chunks, self._gave_up, self._failed = 0, False, False

    def stop(self) -> None:
        """Follow nothing: hold."""
        self._episode += 1  # what is being thought meanwhile is for nobody
        self.instruction = self.trouble = self.fault = ""
        self._memory = self._waiting_since = self._idle_since = None
        self._drop_plan()

    def forget_arm(self) -> None:
        """Forget where the arm was, because time or the arm jumped."""
        self.history.clear()
        self._commanded = self._idle_since = None
        self._drop_plan()

    def see_state(
        self, stamp: float, state: NDArray[np.float64], commanded: NDArray[np.float64]
    ) -> None:
        """Take a state, Shape (8,), and what was last commanded, Shape (7,), at a time [s]."""
        self.history.add(stamp, state)
        self._now = stamp
        first, self._commanded = self._commanded is None, commanded
        if first or self._player.newest is None:
            self._player.reset(commanded)

    def answer(self, now: float, replan_steps: int) -> Answer | None:
        """Say what to command for the state at ``now`` [s]; None while waiting for a chunk.

        Args:
            now: stamp of the newest state [s].
            replan_steps: a new chunk is wanted so many of its steps after the last.
        """
        if not self.instruction:
            return Answer(None, NO_INSTRUCTION)
        due = now >= self._player.next_due(replan_steps) - _EPSILON
        if self._synchronous:
            if due and not self._gave_up:
                return self._await_chunk(now)
            if due and self._cameras.current(now):
                self._gave_up = False
                return self._await_chunk(now)
            if due:
                return self._hold(self._cameras.trouble(now) or "images do not come")
        else:
            if trouble := self._cameras.trouble(now):
                return self._hold(trouble)
            if due and not self._inference.busy and not self._ask():
                return self._hold(self.trouble)
        if self.trouble and self._player.newest is None:
            return self._hold(self.trouble)
        return self._play(now)

    def take(self, thought: Thought) -> ActionChunk | None:
        """Take what the policy thought; return the chunk if it is good and for this episode."""
        if thought.episode != self._episode:
            self.discarded += 1
            return None
        if thought.chunk is None or not np.isfinite(thought.chunk.targets).all():
            self.fail(thought.error or "the policy's targets are not finite")
            return None
        try:
            # The newest state was still answered from the old chunk; that is when the new one came.
            self._player.add(self._chunking.receive(thought.chunk, self._now))
        except PolicyError as error:
            self.fail(str(error))
            return None
        self.trouble = self.fault = ""
        self._waiting_since = self._idle_since = None
        self.chunks += 1
        return thought.chunk

    def fail(self, fault: str) -> None:
        """Hold, because what the policy answered is of no use."""
        self.discarded += 1
        self.fault, self._failed = fault, True
        self._hold(f"policy: {fault}")

    def _await_chunk(self, now: float) -> Answer | None:
        """Synchronous: ask as soon as the images of this moment are there, and wait."""
        if self._waiting_since is None:
            self._waiting_since = clock.steady()
        thinking = self._inference.busy
        timeout = self._chunk_timeout if thinking else self._image_timeout
        if clock.steady() - self._waiting_since > timeout:
            self._waiting_since, self._gave_up = None, True
            return self._hold(self._cameras.trouble(now) or "no chunk in time")
        if not thinking and self._cameras.current(now):
            if self._failed or not self._ask():
                # Hold for this tick, ask again in the next.
                self._waiting_since, self._failed = None, False
                return self._hold(self.trouble)
            self._waiting_since = clock.steady()
        return None

    def _ask(self) -> bool:
        """Ask for a chunk of the newest images; without success :attr:`trouble` says why."""
        assert self._memory is not None, "there is a memory while there is an instruction"
        try:
            observation = assemble_observation(
                self._cameras.messages(), self.history.at, self.instruction
            )
        except PolicyError as error:
            self.malformed += 1
            self.trouble = str(error)
            return False
        if self._seed_by_stamp:
            self._memory.seed = stamp_seed(self._seed, observation.stamp)
        self._chunking.ask(self._memory, observation.stamp)
        self._inference.ask(self._episode, observation, self._memory)
        if not self.fault:  # images and state are there
            self.trouble = ""
        return True

    def _play(self, now: float) -> Answer:
        chunk = self._player.newest
        target = self._player.sample(now)
        if target is not None:
            self._idle_since = None
            return Answer(target, "", chunk)
        if self._idle_since is None:
            self._idle_since = now
        return Answer(None, "no chunk yet" if chunk is None else "the chunk has run out")

    def _hold(self, reason: str) -> Answer:
        self.trouble = reason
        self._drop_plan()
        return Answer(None, reason)

    def _drop_plan(self) -> None:
        """Forget the chunks, so that play starts again from where the arm was last sent."""
        self._player = ChunkPlayer()
        self._chunking.forget()
        if self._commanded is not None:
            self._player.reset(self._commanded)
