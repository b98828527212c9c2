"""Closed-loop rollouts: several simulated arms stepped together, one policy.

What happens in a control tick is what happens on the robot (policy_node and arm_node), with the
same chunk player, inverse kinematics and safety gate: a chunk that has arrived is added; if a new
one is wanted, the policy is asked; what the player says is due goes through the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from vla_distill.environments.pool import EnvironmentPool
from vla_distill.evaluation.episode import EpisodeResult, EpisodeSpec, specs
from vla_distill.evaluation.latency import Latency
from vla_distill.evaluation.seat import Seat, Watcher
from vla_policy.chunk_stream import ChunkStream, StreamFaults
from vla_policy.chunking import make_chunking
from vla_policy.contract import Policy


@dataclass(frozen=True)
class RolloutConfig:
    """How the policy is run.

    Attributes:
        replan_steps: chunk steps after which a new chunk is wanted.
        latency: how long a chunk takes to arrive, in simulated time.
        chunking: how a new chunk takes over from the old one.
        faults: what goes wrong with chunks on their way, after the latency.
    """

    replan_steps: int = 2
    latency: Latency = field(default_factory=Latency)
    chunking: str = "switch"
    faults: StreamFaults = field(default_factory=StreamFaults)


def run(
    policy: Policy,
    tasks: Sequence[str],
    seeds: Iterable[int],
    batch: int = 10,
    *,
    instructions: str = "train",
    swap: bool = False,
    config: RolloutConfig | None = None,
) -> list[EpisodeResult]:
    """Run every task on every seed in this process.

    Args:
        policy: the policy under test.
        tasks: names of tasks.
        seeds: evaluation seeds.
        batch: episodes stepped together.
        instructions: split of the sentences.
        swap: ask for another object of the same scene.
        config: how the policy is run.

    Returns:
        One result an episode, task by task, seed by seed.

    Raises:
        DistillError: a seed is not an evaluation seed, or the split is unknown.
    """
    pool = EnvironmentPool(policy)
    wanted = specs(tasks, seeds, instructions, swap)
    results = []
    try:
        for at in range(0, len(wanted), batch):
            results += run_wave(policy, wanted[at : at + batch], pool, config or RolloutConfig())
    finally:
        pool.close()
    return results


def run_wave(
    policy: Policy,
    wanted: Sequence[EpisodeSpec],
    pool: EnvironmentPool,
    config: RolloutConfig,
    watch: Callable[[EpisodeSpec], Watcher | None] = lambda spec: None,
) -> list[EpisodeResult]:
    """Run some episodes side by side: one ``infer`` for all that want a chunk in the same tick.

    Args:
        policy: the policy under test.
        wanted: the episodes.
        pool: where the environments come from.
        config: how the policy is run.
        watch: gives an episode its watcher (video, last picture), or None.

    Returns:
        One result an episode, in the given order.
    """
    seats = [
        Seat(
            environment,
            spec,
            policy.start(spec.seed),
            watch(spec),
            make_chunking(config.chunking, policy),
            ChunkStream(config.faults, spec.seed),
        )
        for environment, spec in zip(pool.take(len(wanted)), wanted, strict=True)
    ]
    playing = list(seats)
    while playing:
        for seat in playing:
            seat.look()
        asking = [seat for seat in playing if seat.wants_chunk()]
        if asking:
            observations, memories = zip(*(seat.ask() for seat in asking), strict=True)
            chunks = policy.infer(observations, memories)
            for seat, chunk in zip(asking, chunks, strict=True):
                latency = config.latency.draw(seat.spec.seed, chunk.sequence)
                seat.receive(chunk, latency, config.replan_steps)
        for seat in playing:
            seat.advance()
        playing = [seat for seat in playing if seat.result is None]
    return [seat.result for seat in seats if seat.result is not None]
