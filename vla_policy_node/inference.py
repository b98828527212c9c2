"""Inference in a thread of its own, so that the arm is answered while the policy thinks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from vla_policy.contract import ActionChunk, Memory, Observation, Policy


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
        on_done: called in the inference thread when a thought can be taken.
    """

    def __init__(self, policy: Policy, on_done: Callable[[], object]) -> None:
        self._policy, self._on_done = policy, on_done
        self._asked: queue.SimpleQueue[tuple[int, Observation, Memory] | None] = queue.SimpleQueue()
        self._thought: queue.SimpleQueue[Thought] = queue.SimpleQueue()
        self.busy = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def ask(self, episode: int, observation: Observation, memory: Memory) -> None:
        """Start an inference; :attr:`busy` until its thought is taken."""
        self.busy = True
        self._asked.put((episode, observation, memory))

    def take(self) -> Thought | None:
        """Return the thought that is ready, if any."""
        try:
            thought = self._thought.get_nowait()
        except queue.Empty:
            return None
        self.busy = False
        return thought

    def close(self, timeout: float = 5.0) -> None:
        """End the thread after the inference under way; waits at most ``timeout`` [s]."""
        self._asked.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (work := self._asked.get()) is not None:
            episode, observation, memory = work
            try:
                chunk = self._policy.infer([observation], [memory])[0]
                self._thought.put(Thought(episode, chunk))
            except Exception as error:  # whatever a policy raises holds the arm, by its name
                self._thought.put(Thought(episode, None, f"{type(error).__name__}: {error}"))
            self._on_done()
