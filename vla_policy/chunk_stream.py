"""The way of chunks from the policy to the player, and what may go wrong on it.

With the default faults a chunk arrives when it is sent. Everything is drawn from the seed and the
number of the chunk, so that the same stream is had again.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, fields

import numpy as np

from vla_policy.contract import ActionChunk
from vla_policy.errors import PolicyError

_EPSILON = 1e-6


@dataclass(frozen=True)
class StreamFaults:
    """What goes wrong.

    Attributes:
        delay: that every chunk has [s].
        jitter: greatest further delay, uniform [s].
        loss: share of chunks that never arrive.
        duplication: share of chunks that arrive a second time.
        reordering: share of chunks that are held back by ``held_back`` and so overtaken.
        held_back: by how long [s].
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    held_back: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            share = field.name in ("loss", "duplication", "reordering")
            if not 0.0 <= value <= (1.0 if share else 60.0):
                expected = "0 to 1" if share else "0 to 60 s"
                raise PolicyError(f"stream fault {field.name}", got=value, expected=expected)


class ChunkStream:
    """Chunks under way.

    Args:
        faults: what goes wrong.
        seed: of the faults.

    Attributes:
        sent, lost: chunks.
    """

    def __init__(self, faults: StreamFaults | None = None, seed: int = 0) -> None:
        self._faults, self._seed = faults or StreamFaults(), seed
        self._under_way: list[tuple[float, int, ActionChunk]] = []
        self._count = self.sent = self.lost = 0

    def send(self, chunk: ActionChunk, now: float) -> None:
        """Send a chunk at a time [s]."""
        faults, rng = self._faults, np.random.default_rng([self._seed, self.sent])
        self.sent += 1
        # All are drawn in any case: one fault more leaves the others where they were.
        lost, twice, back = rng.random(3) < (faults.loss, faults.duplication, faults.reordering)
        delays = faults.delay + faults.jitter * rng.random(2) + back * faults.held_back
        if lost:
            self.lost += 1
            return
        for delay in delays[: 1 + twice]:
            heapq.heappush(self._under_way, (now + float(delay), self._count, chunk))
            self._count += 1

    def take(self, now: float) -> list[ActionChunk]:
        """What has arrived by now [s], in the order of arrival."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now + _EPSILON:
            arrived.append(heapq.heappop(self._under_way)[2])
        return arrived
