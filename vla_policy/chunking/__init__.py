"""How a new chunk takes over from the old one.

A chunk is made of an observation and arrives some time later, while the old one plays on. The two
disagree; what is done about that is a :class:`Chunking`:

- ``switch``: nothing; from the last command on, the new chunk is played.
- ``ensemble``: what is played is the mean of all chunks that reach a moment.
- ``fade``: what is played goes over from the old chunk to the new one within 0.2 s.
- ``rtc``: the new chunk is computed so that it goes on where the old one will have got to.

Robot and evaluation tell it when a chunk is asked for and when one arrives; nothing else changes.
"""

from __future__ import annotations

from typing import Protocol

from vla_policy.chunking.ensemble import TemporalEnsemble
from vla_policy.chunking.fade import Fade
from vla_policy.chunking.realtime import RealTimeChunking
from vla_policy.chunking.switch import Switch
from vla_policy.contract import ActionChunk, Memory, Policy
from vla_policy.errors import PolicyError

CHUNKINGS = {each.name: each for each in (Switch, Fade, TemporalEnsemble, RealTimeChunking)}


class Chunking(Protocol):
    """Joins the chunks of one episode after the other."""

    def ask(self, memory: Memory, stamp: float) -> None:
        """A chunk is about to be asked for: say in its memory what it must agree with.

        Args:
            memory: what ``infer`` will get.
            stamp: of the observation [s].
        """
        ...

    def receive(self, chunk: ActionChunk, now: float) -> ActionChunk:
        """Return what to play when a chunk has arrived.

        Args:
            chunk: as the policy made it; it may be late, old or a duplicate.
            now: time of arrival, by the clock of the stamps [s].
        """
        ...

    def forget(self) -> None:
        """No chunk is in play any more, because the arm holds or another episode begins."""
        ...


def make_chunking(name: str, policy: Policy) -> Chunking:
    """Make a way of joining chunks.

    Args:
        name: one of :data:`CHUNKINGS`.
        policy: whose chunks are joined.

    Raises:
        PolicyError: the name is unknown, or the policy cannot do what it takes.
    """
    if name not in CHUNKINGS:
        raise PolicyError("chunking", got=repr(name), expected=f"one of {sorted(CHUNKINGS)}")
    if name == RealTimeChunking.name and not getattr(policy, "continues_chunks", False):
        raise PolicyError(
            f"chunking {name!r}",
            got=f"{type(policy).__name__}, whose chunks do not go on from the one before",
            expected="a policy with a diffusion head, or switch, fade or ensemble",
        )
    return CHUNKINGS[name]()
