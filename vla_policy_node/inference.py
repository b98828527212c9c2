"""Inference in a thread of its own, so that the arm is answered while the policy thinks."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from vla_policy.contract import ActionChunk, Memory, Observation, Policy
from vla_policy.efficiency.guard import Disagreement, Guard

HANDOVER = 0.001
"""Longest wait for an inference to begin [s]."""


@dataclass(frozen=True)
class Thought:
    """What came of one inference.

    Attributes:
        episode: number of the episode that asked.
        chunk: the chunk, or None if the policy failed.
        error: why it failed, empty if it did not.
    """

    episode: int
    chunk: ActionChunk | None
    error: str = ""


class Inference:
    """Runs one inference at a time.

    Args:
        policy: the policy; nobody else may call its ``infer``.
        on_done: called in the inference thread when a thought or a judgement can be taken.
        guard: looks at chunks after they are handed over, while nobody waits for the next one.
    """

    def __init__(
        self, policy: Policy, on_done: Callable[[], object], guard: Guard | None = None
    ) -> None:
        self._policy, self._on_done, self._guard = policy, on_done, guard
        self._judged: queue.SimpleQueue[Disagreement] = queue.SimpleQueue()
        self._asked: queue.SimpleQueue[tuple[int, Observation, Memory] | None] = queue.SimpleQueue()
        self._thought: queue.SimpleQueue[Thought] = queue.SimpleQueue()
        self._begun = threading.Event()
        self.busy = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def ask(self, episode: int, observation: Observation, memory: Memory) -> None:
        """Start an inference; :attr:`busy` until its thought is taken."""
        self.busy = True
        self._begun.clear()
        self._asked.put((episode, observation, memory))
        # Python would go on in this thread until it next waits for a message, while the other one,
        # which has more to do, stands still.
        self._begun.wait(HANDOVER)

    def take(self) -> Thought | None:
        """Return the thought that is ready, if any."""
        try:
            thought = self._thought.get_nowait()
        except queue.Empty:
            return None
        self.busy = False
        return thought

    def take_judgement(self) -> Disagreement | None:
        """Return what the guard found, if it looked."""
        try:
            return self._judged.get_nowait()
        except queue.Empty:
            return None

    def close(self, timeout: float = 5.0) -> None:
        """End the thread after the inference under way; waits at most ``timeout`` [s]."""
        self._asked.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (work := self._asked.get()) is not None:
            self._begun.set()
            episode, observation, memory = work
            before, chunk = replace(memory), None
            try:
                chunk = self._policy.infer([observation], [memory])[0]
                self._thought.put(Thought(episode, chunk))
            except Exception as error:  # whatever a policy raises holds the arm, by its name
                self._thought.put(Thought(episode, None, f"{type(error).__name__}: {error}"))
            self._on_done()
            if chunk is not None:
                self._judge(observation, before, chunk)

    def _judge(self, observation: Observation, before: Memory, chunk: ActionChunk) -> None:
        if self._guard is None or not self._asked.empty():
            return
        try:
            found = self._guard.look(observation, before, chunk)
        except Exception:
            # The guard can vouch for nothing: full compute takes over and says what is wrong.
            found = Disagreement(math.inf, math.inf)
        if found is not None:
            self._judged.put(found)
            self._on_done()
