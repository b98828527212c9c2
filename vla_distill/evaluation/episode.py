"""One evaluated episode: what is asked for and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vla_distill.errors import DistillError
from vla_sim.tasks import get_suite

EVALUATION_SEEDS = range(100_000)
"""Seeds for evaluation. Training data is made from seeds of 1,000,000 and more."""

INSTRUCTION_SPLITS = ("train", "new_sentences", "new_words")
"""Sentences of the training data, unseen sentences of known words, sentences with unseen words."""


@dataclass(frozen=True)
class EpisodeSpec:
    """What to run; equal specs give equal episodes.

    Attributes:
        task: name of the task.
        seed: seed of the scene, of the sentence and of the policy's noise.
        instructions: one of :data:`INSTRUCTION_SPLITS`.
        swap: the same scene, but another of its objects is asked for.
    """

    task: str
    seed: int
    instructions: str = "train"
    swap: bool = False


@dataclass(frozen=True)
class EpisodeResult:
    """What happened.

    Attributes:
        task: name of the task.
        seed: the episode's seed.
        instruction: what the policy was told.
        target: the object asked for.
        success: whether the task's condition held for its required time within the limit.
        seconds: simulated time until success, or the time limit [s].
        cause: why it failed (see :mod:`vla_distill.evaluation.cause`); empty on success.
        progress: how far the task got, 0 to 1.
        chunks: chunks inferred.
        refused: control ticks in which the gate refused the command and held.
        limited: control ticks in which the gate had to limit the command.
        starved: control ticks without a target, before the first chunk or after the last ran out.
        gflops: mean cost of a chunk as its report says [1e9 operations].
        seam_jump: mean change of the commanded linear velocity where one chunk takes over from
            another [m/s].
        roughness: the same over all ticks [m/s]: a seam that is only put off is found here.
    """

    task: str
    seed: int
    instruction: str
    target: str
    success: bool
    seconds: float
    cause: str
    progress: float
    chunks: int
    refused: int
    limited: int
    starved: int
    gflops: float
    seam_jump: float = 0.0
    roughness: float = 0.0


def specs(
    tasks: Sequence[str],
    seeds: Iterable[int],
    instructions: str = "train",
    swap: bool = False,
) -> list[EpisodeSpec]:
    """Every task on every seed, task by task.

    Raises:
        DistillError: a seed is not one of :data:`EVALUATION_SEEDS`, or the split is unknown.
    """
    if instructions not in INSTRUCTION_SPLITS:
        raise DistillError("instructions", got=repr(instructions), expected=INSTRUCTION_SPLITS)
    chosen = list(seeds)
    for seed in chosen:
        if seed not in EVALUATION_SEEDS:
            last = EVALUATION_SEEDS[-1]
            raise DistillError("evaluation seed", got=seed, expected=f"0 to {last}")
    return [EpisodeSpec(task, seed, instructions, swap) for task in tasks for seed in chosen]


def pick_tasks(suite: str, names: str) -> tuple[str, ...]:
    """Tasks of a suite.

    Args:
        suite: name of the suite.
        names: the wanted tasks, separated by commas; empty for all of the suite.

    Raises:
        DistillError: a name that the suite does not have.
        SimulationError: there is no such suite.
    """
    known = get_suite(suite)
    wanted = tuple(name.strip() for name in names.split(",") if name.strip()) or known
    for name in wanted:
        if name not in known:
            raise DistillError(f"task of suite {suite!r}", got=repr(name), expected=list(known))
    return tuple(dict.fromkeys(wanted))
