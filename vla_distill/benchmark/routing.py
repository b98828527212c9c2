"""Which language layers run when: what a policy's router did in every chunk of some episodes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.environments.pool import EnvironmentPool
from vla_distill.environments.protocol import View
from vla_distill.environments.simulated import SimulatedArm
from vla_distill.evaluation.episode import EpisodeResult, EpisodeSpec, specs
from vla_distill.evaluation.evaluation import one_thread
from vla_distill.evaluation.rollout import RolloutConfig, run_wave
from vla_distill.evaluation.statistics import Interval, paired_bootstrap
from vla_policy.contract import ActionChunk, Policy
from vla_sim.constants import STEP_DT


@dataclass(frozen=True)
class RoutedChunk:
    """One chunk.

    Attributes:
        task: name of the task.
        seed: the episode's.
        time: since the episode began [s].
        phase: what remained to be done, see :meth:`vla_sim.tasks.task.TableTask.progress`.
        touching: whether the arm touched the object that was asked for.
        layers_run: language layers that ran.
    """

    task: str
    seed: int
    time: float
    phase: str
    touching: bool
    layers_run: tuple[int, ...]


class _Listener:
    """Notes, with every chunk, how far the episode was when it was asked for."""

    def __init__(self, spec: EpisodeSpec) -> None:
        self._spec, self._now = spec, (0.0, "", False)
        self.heard: list[RoutedChunk] = []
        self._steps = 0

    def see(self, view: View, instruction: str) -> None:
        assert isinstance(view, SimulatedArm), "phases are known of our own tasks only"
        simulation = view.simulation
        truth, target = simulation.privileged(), simulation.episode.target
        is_item = any(item.name == target for item in truth.layout.items)
        touching = is_item and truth.touched(target)
        self._now = STEP_DT * self._steps, simulation.status().phase, touching
        self._steps += 1

    def hear(self, chunk: ActionChunk) -> None:
        where = self._spec.task, self._spec.seed
        self.heard.append(RoutedChunk(*where, *self._now, tuple(chunk.report.layers_run)))

    def finish(self, view: View, result: EpisodeResult) -> None:
        pass


def listen(
    policy: Policy,
    tasks: Sequence[str],
    seeds: Sequence[int],
    batch: int = 10,
    tell: Callable[[int], object] = lambda done: None,
) -> list[RoutedChunk]:
    """Play episodes and note every chunk.

    Args:
        policy: the policy.
        tasks: names of tasks.
        seeds: evaluation seeds.
        batch: episodes stepped together.
        tell: called with the episodes that are done.

    Raises:
        DistillError: a seed is not an evaluation seed.
    """
    wanted, heard = specs(tasks, seeds), []
    pool = EnvironmentPool(policy)
    try:
        with one_thread():
            for at in range(0, len(wanted), batch):
                wave = wanted[at : at + batch]
                listeners = {spec: _Listener(spec) for spec in wave}
                run_wave(policy, wave, pool, RolloutConfig(), listeners.__getitem__)
                heard += [chunk for spec in wave for chunk in listeners[spec].heard]
                tell(at + len(wave))
    finally:
        pool.close()
    return heard


def activation(chunks: Sequence[RoutedChunk], layers: int) -> NDArray[np.float64]:
    """How often each layer ran. Shape (layers,), 0 to 1."""
    ran = np.zeros(layers)
    for chunk in chunks:
        ran[list(chunk.layers_run)] += 1
    return ran / max(len(chunks), 1)


def by_phase(chunks: Sequence[RoutedChunk], layers: int) -> list[dict[str, Any]]:
    """A row a task and phase, in the order in which they were met."""
    rows = []
    for task, phase in dict.fromkeys((chunk.task, chunk.phase) for chunk in chunks):
        own = [chunk for chunk in chunks if (chunk.task, chunk.phase) == (task, phase)]
        counts = np.array([len(chunk.layers_run) for chunk in own])
        rows.append(
            {
                "task": task,
                "phase": phase,
                "chunks": len(own),
                "layers": float(counts.mean()),
                "activation": activation(own, layers).tolist(),
            }
        )
    return rows


def touch_difference(chunks: Sequence[RoutedChunk]) -> Interval | None:
    """Layers that ran more while the arm touched the object than otherwise, within episodes.

    Mean over the episodes that have both, with a 95 % percentile bootstrap over episodes; None
    where none has.
    """
    free, touching = [], []
    for episode in dict.fromkeys((chunk.task, chunk.seed) for chunk in chunks):
        own = [chunk for chunk in chunks if (chunk.task, chunk.seed) == episode]
        counts = [
            [len(c.layers_run) for c in own if c.touching is touch] for touch in (False, True)
        ]
        if all(counts):
            free.append(float(np.mean(counts[0])))
            touching.append(float(np.mean(counts[1])))
    return paired_bootstrap(free, touching) if free else None


def changes(chunks: Sequence[RoutedChunk]) -> float:
    """Layers that start or stop from one chunk to the next of an episode, mean."""
    flips = [
        len(set(first.layers_run) ^ set(second.layers_run))
        for first, second in itertools.pairwise(chunks)
        if (first.task, first.seed) == (second.task, second.seed)
    ]
    return float(np.mean(flips)) if flips else 0.0
