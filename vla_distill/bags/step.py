"""What a policy would have done on a recorded episode, as policy_node does in lockstep (step mode).

State by state: a chunk is asked for when the one before has played for ``replan_steps`` and every
camera's image of that moment is there. Nothing depends on the clock of the machine; the noise of a
chunk is a function of the run's seed and the observation's stamp.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import Episode
from vla_distill.bags.errors import BagError
from vla_distill.bags.fault import FaultList
from vla_policy.contract import ActionChunk, Policy
from vla_policy.errors import PolicyError
from vla_policy.noise import stamp_seed
from vla_policy.observation import StateHistory, assemble_observation
from vla_policy.player import ChunkPlayer

RESTART_GAP = 0.5
"""After a gap in the states longer than this all begins anew [s]."""
_EPSILON = 1e-6


@dataclass(frozen=True)
class StepConfig:
    """How to step through a bag.

    Attributes:
        replan_steps: a new chunk is wanted so many of its steps after the last.
        image_period: time between images [s]; an image older than this at a request is missing.
        seed: of the noise.

    Raises:
        BagError: a number is out of range.
    """

    replan_steps: int = 2
    image_period: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replan_steps < 1:
            raise BagError("replan_steps", got=self.replan_steps, expected="1 or more")
        if not 0.0 < self.image_period < math.inf:
            raise BagError("image_period", got=self.image_period, expected="seconds, above 0")


@dataclass(frozen=True)
class AskedChunk:
    """A chunk, when it was asked for, and how long the policy took.

    Attributes:
        asked: stamp of the state that asked for it [s].
        chunk: the chunk.
        milliseconds: wall time of the inference [ms].
    """

    asked: float
    chunk: ActionChunk
    milliseconds: float


def step_through(
    bag: Bag,
    episode: Episode,
    policy: Policy,
    config: StepConfig,
    faults: FaultList,
    tell: Callable[[int], object] = lambda count: None,
) -> list[AskedChunk]:
    """Ask a policy for every chunk of an episode.

    Raises:
        PolicyError: the bag lacks a camera that the policy needs.
    """
    missing = [name for name in policy.cameras if not bag.images.get(name)]
    if missing:
        raise PolicyError("cameras of the bag", got=sorted(bag.images), expected=f"also {missing}")
    inbox = _Inbox(bag, episode, policy.cameras)
    history, player, memory = StateHistory(), ChunkPlayer(), policy.start(config.seed)
    asked: list[AskedChunk] = []
    last: float | None = None
    for entry in episode.of(bag.states):
        now = entry.stamp
        if last is not None and now - last > RESTART_GAP:
            faults.add("ee_state", last, f"no state for {now - last:.2f} s; the policy begins anew")
            history, player, memory = StateHistory(), ChunkPlayer(), policy.start(config.seed)
        last = now
        history.add(now, entry.value.state)
        if now < player.next_due(config.replan_steps) - _EPSILON:
            continue
        if (trouble := inbox.advance(now, config.image_period)) != "":
            faults.add(f"camera {trouble}", now, "no image where a chunk was due")
            player = ChunkPlayer()
            continue
        try:
            observation = assemble_observation(inbox.messages(), history.at, episode.instruction)
        except PolicyError as error:
            faults.add(error.what, now, f"got {error.got}, expected {error.expected}")
            continue
        memory.seed = stamp_seed(config.seed, observation.stamp)
        begin = time.perf_counter()
        chunk = policy.infer([observation], [memory])[0]
        asked.append(AskedChunk(now, chunk, 1e3 * (time.perf_counter() - begin)))
        player.add(chunk)
        tell(len(asked))
    return asked


class _Inbox:
    """The newest image of each camera at a moment, as its bytes lie in the bag."""

    def __init__(self, bag: Bag, episode: Episode, cameras: Sequence[str]) -> None:
        self._bag = bag
        self._entries = {name: episode.of(bag.images[name]) for name in cameras}
        self._next = dict.fromkeys(cameras, 0)

    def advance(self, now: float, period: float) -> str:
        """Go on to a moment [s]; returns the camera that has no image of it, or nothing."""
        for name, entries in self._entries.items():
            index = self._next[name]
            while index < len(entries) and entries[index].stamp <= now + _EPSILON:
                index += 1
            self._next[name] = index
            if index == 0 or entries[index - 1].stamp <= now - period + _EPSILON:
                return name
        return ""

    def messages(self) -> dict[str, Any]:
        """The messages of that moment.

        Raises:
            PolicyError: the bytes of one are no message.
        """
        found = {}
        for name, entries in self._entries.items():
            try:
                found[name] = self._bag.message(entries[self._next[name] - 1].value)
            except PolicyError as error:
                raise PolicyError(
                    f"camera {name}", got=error.got, expected=error.expected
                ) from error
        return found
