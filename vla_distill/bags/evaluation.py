"""Policies judged on a bag: asked in step mode, or by the chunks that a live node gave."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import Episode, split
from vla_distill.bags.fault import FaultList
from vla_distill.bags.frames import PoseSeries, reference
from vla_distill.bags.gate import GateJudge
from vla_distill.bags.scores import refusals, summarise, timing
from vla_distill.bags.step import AskedChunk, StepConfig, step_through
from vla_policy.contract import Policy


@dataclass(frozen=True)
class EpisodeRun:
    """What a policy would have done in an episode, and what was done.

    Attributes:
        episode: the episode.
        asked: the chunks.
        done: what was done.
    """

    episode: Episode
    asked: Sequence[AskedChunk]
    done: PoseSeries


@dataclass(frozen=True)
class Judgement:
    """How a policy with its settings did.

    Attributes:
        scores: the same bytes in every run on the same kind of machine.
        timing: what depends on the machine's speed.
        faults: where the bag did not have what the policy needed.
        runs: what the scores were made of, an entry an episode.
    """

    scores: dict[str, Any]
    timing: dict[str, Any]
    faults: list[dict[str, Any]]
    runs: Sequence[EpisodeRun] = ()


def judge(
    bag: Bag,
    policy: Policy,
    config: StepConfig,
    *,
    source: str = "auto",
    instruction: str = "",
    tell: Callable[[int], object] = lambda count: None,
) -> Judgement:
    """Step a policy through every episode of a bag and score it.

    Args:
        bag: the bag.
        policy: the policy.
        config: how to step.
        source: what the policy is compared with, see :func:`vla_distill.bags.frames.reference`.
        instruction: what the arm was told, where the bag does not say.
        tell: called with the chunks of the episode so far.

    Raises:
        BagError: the bag has no episodes.
        PolicyError: the bag lacks a camera that the policy needs.
    """
    faults, begin = FaultList(), time.perf_counter()
    runs = []
    for episode in split(bag, instruction):
        asked = step_through(bag, episode, policy, config, faults, tell)
        runs.append(EpisodeRun(episode, asked, reference(bag, episode, source)))
    return judge_runs(bag, runs, config.replan_steps, faults, begin)


def judge_runs(
    bag: Bag, runs: Sequence[EpisodeRun], replan_steps: int, faults: FaultList, begin: float
) -> Judgement:
    """Score what a policy answered.

    Args:
        bag: the bag.
        runs: an entry an episode.
        replan_steps: targets of a chunk that are played before the next.
        faults: where the bag did not have what the policy needed.
        begin: when the work began, on ``time.perf_counter`` [s].
    """
    pairs = [(run.asked, run.done) for run in runs]
    scores = summarise(pairs, replan_steps)
    gate, counts = GateJudge(bag), Counter[str]()
    for run in runs:
        counts += gate(run.asked, run.episode.segment, replan_steps)
    scores["gate"] = refusals(counts)
    scores["episodes"] = [
        {
            "instruction": run.episode.instruction,
            "task": run.episode.task,
            "success_recorded": run.episode.success,
            **_few(summarise([pair], replan_steps)),
        }
        for run, pair in zip(runs, pairs, strict=True)
    ]
    chunks = [each for run in runs for each in run.asked]
    wall = time.perf_counter() - begin
    told = [fault.as_dict() for fault in faults]
    return Judgement(scores, timing(chunks, replan_steps, wall), told, tuple(runs))


def _few(scores: dict[str, Any]) -> dict[str, Any]:
    keys = ("chunks", "position_error_mm", "rotation_error_deg", "gripper_f1", "seam_jump_mm")
    return {key: scores[key] for key in keys if key in scores}
