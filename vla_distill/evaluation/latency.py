"""How long the policy thinks while simulated time goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vla_distill.errors import DistillError
from vla_policy.chunking import make_chunking
from vla_policy.contract import Observation, Policy


@dataclass(frozen=True)
class Latency:
    """Time from an observation to the arrival of its chunk.

    Attributes:
        samples: possible latencies [s]; one is drawn a chunk. Empty: the chunk is there at once.
        name: what the user asked for: ``none``, ``measured`` or milliseconds.
    """

    samples: tuple[float, ...] = ()
    name: str = "none"

    def draw(self, seed: int, sequence: int) -> float:
        """The latency [s] of an episode's chunk; the same for the same seed and sequence."""
        if not self.samples:
            return 0.0
        if len(self.samples) == 1:
            return self.samples[0]
        return float(np.random.default_rng((seed, sequence)).choice(self.samples))


def parse(text: str, measured_ms: Sequence[float]) -> Latency:
    """The latency for ``none``, ``measured`` or a number of milliseconds.

    Args:
        text: what the user wrote.
        measured_ms: measured times of single chunks [ms], for ``measured``.

    Raises:
        DistillError: anything else, or a negative or infinite number.
    """
    if text == "none":
        return Latency()
    if text == "measured":
        return Latency(tuple(float(ms) * 1e-3 for ms in measured_ms), text)
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = float("nan")
    if not 0.0 <= milliseconds < float("inf"):
        raise DistillError("latency", got=repr(text), expected="none, measured or milliseconds")
    return Latency((milliseconds * 1e-3,), text)


def measure(
    policy: Policy,
    observations: Sequence[Observation],
    repeats: int = 40,
    warm_up: int = 5,
    chunking: str = "switch",
) -> list[float]:
    """Wall time of chunks computed one at a time, as on the robot [ms].

    Args:
        policy: the policy.
        observations: the moments of one episode, taken in turn, a replanning period apart.
        repeats: chunks to time.
        warm_up: chunks computed before, not counted.
        chunking: how chunks are joined; real-time chunking costs more.
    """
    memory, joining = policy.start(0), make_chunking(chunking, policy)
    milliseconds = []
    span = observations[-1].stamp - observations[0].stamp + 2 * policy.step_dt
    for index in range(warm_up + repeats):
        lap, place = divmod(index, len(observations))
        observation = observations[place]
        # Time goes on when the episode's moments are gone round again.
        moment = replace(observation, stamp=observation.stamp + lap * span)
        joining.ask(memory, moment.stamp)
        begin = time.perf_counter()
        (chunk,) = policy.infer([moment], [memory])
        milliseconds.append((time.perf_counter() - begin) * 1e3)
        joining.receive(chunk, moment.stamp + milliseconds[-1] * 1e-3)
    return milliseconds[warm_up:]
