"""Real-time chunking: the new chunk is computed to go on from the old one.

Kevin Black, Manuel Y. Galliker, Sergey Levine, "Real-Time Execution of Action Chunking Flow
Policies", arXiv 2506.07339, algorithm 1. While a chunk is computed the old one plays on; that part
of it is held fixed in the new one, and the rest pulls with decaying weight. The computation is in
:mod:`vla_policy.model.guidance`; here is the delay: the longest of the last few (the paper's buffer
Q), each measured from an observation's stamp to the arrival of its chunk.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from vla_policy.contract import ActionChunk, Memory

REMEMBERED = 10
"""Delays of which the longest is expected; the paper leaves their number open."""


class RealTimeChunking:
    """Says until when the old chunk will be executed whatever comes."""

    name: ClassVar[str] = "rtc"

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        self._playing: ActionChunk | None = None

    def ask(self, memory: Memory, stamp: float) -> None:
        """Freeze what will be executed until the new chunk comes; nothing, if none is in play."""
        # Delays are the machine's and outlive an episode; the chunk in play does not.
        memory.frozen_until = None
        if self._playing is not None:
            # The last one computed may never have come.
            memory.previous = self._playing
            memory.frozen_until = stamp + max(self._delays)

    def receive(self, chunk: ActionChunk, now: float) -> ActionChunk:
        """Measure how long it took; play it as it is."""
        if self._playing is None or chunk.stamp > self._playing.stamp:
            self._playing = chunk
            self._delays.append(max(now - chunk.stamp, 0.0))
        return chunk

    def forget(self) -> None:
        """Compute the next chunk free."""
        self._playing = None
