"""Policies judged on a bag in step mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import split
from vla_distill.bags.fault import FaultList
from vla_distill.bags.frames import reference
from vla_distill.bags.scores import summarise, timing
from vla_distill.bags.step import StepConfig, step_through
from vla_policy.contract import Policy


@dataclass(frozen=True)
class Judgement:
    """How a policy with its settings did.

    Attributes:
        scores: the same bytes in every run on the same kind of machine.
        timing: what depends on the machine's speed.
        faults: where the bag did not have what the policy needed.
    """

    scores: dict[str, Any]
    timing: dict[str, Any]
    faults: list[dict[str, Any]]


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
    faults, runs, begin = FaultList(), [], time.perf_counter()
    episodes = split(bag, instruction)
    for episode in episodes:
        asked = step_through(bag, episode, policy, config, faults, tell)
        runs.append((asked, reference(bag, episode, source)))
    scores = summarise(runs, config.replan_steps)
    wall = time.perf_counter() - begin
    scores["episodes"] = [
        {
            "instruction": episode.instruction,
            "task": episode.task,
            "success_recorded": episode.success,
            **_few(summarise([run], config.replan_steps)),
        }
        for episode, run in zip(episodes, runs, strict=True)
    ]
    chunks: Sequence[Any] = [each for asked, _ in runs for each in asked]
    return Judgement(
        scores, timing(chunks, config.replan_steps, wall), [f.as_dict() for f in faults]
    )


def _few(scores: dict[str, Any]) -> dict[str, Any]:
    keys = ("chunks", "position_error_mm", "rotation_error_deg", "gripper_f1", "seam_jump_mm")
    return {key: scores[key] for key in keys if key in scores}
