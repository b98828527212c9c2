"""Make a small dataset that teaches as much: trace samples, choose or synthesise. Resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arguments:
    """Distill a dataset (FT-NCFM, arXiv 2511.16233, and rivals).

    Attributes:
        data: the dataset.
        out: folder of the small one, for ``vla train --data``.
        ratio: of the samples (frames) to keep, or of the episodes.
        arm: random, stratified_random, phase_balanced, spread, stratified_spread, herding,
            k_center, top_influence, uniform_ncfm, weighted_ncfm, weighted_contrast or
            weighted_real.
        unit: what is chosen: frames, or whole episodes (not by the ncfm and contrast arms).
        tasks: only these, separated by commas.
        config: YAML file of the full training run, of which the guide is 15 %.
        steps: optimiser steps of the full run, instead of the file's.
        tracer: lissa, tracin or projection.
        rule: what happens to negative scores: clip or softmax.
        evidence: trace and verify the samples, and write the page of the most and least valuable
            ones, also where the arm does not look at it.
        teacher: folder of a policy that says what shall follow each kept frame, instead of what was
            recorded.
        rounds: how often each synthetic sample is moved.
        pixel_rate: by how much their pixels, in [-1, 1], move in a round; 0 leaves them as they
            were.
        action_rate: the same of their chunks, over the actions' spread.
        adversary: whether the frequencies of the discrepancy are learned.
        seed: of split, guide, noise and draws.
        processes: that score and verify; 0 takes one a core.
        ray: address of a Ray cluster instead (``local`` starts one here).
        work: where steps are kept, shared by several arms; beside --out if not given.
    """

    data: Path
    out: Path
    ratio: float = 0.05
    arm: str = "stratified_spread"
    unit: str = "frames"
    tasks: str = ""
    config: Path = Path("config/train/small.yaml")
    steps: int | None = None
    tracer: str = "lissa"
    rule: str = "clip"
    evidence: bool = False
    teacher: str = ""
    rounds: int = 20
    pixel_rate: float = 5e-3
    action_rate: float = 1e-2
    adversary: bool = True
    seed: int = 0
    processes: int = 1
    ray: str = ""
    work: Path | None = None


def main(arguments: Arguments) -> int:
    """Run, and print the provenance without the single samples."""
    import sys

    from vla_distill.evaluation.machine import cores
    from vla_distill.ftncfm.config import DistillDataConfig
    from vla_distill.ftncfm.distill import distill_data
    from vla_distill.ftncfm.executor import make_executor
    from vla_distill.ftncfm.matching import MatchConfig
    from vla_distill.training.config import TrainConfig

    work = arguments.work or arguments.out.with_name(arguments.out.name + ".work")
    config = DistillDataConfig(
        data=str(arguments.data),
        out=arguments.out,
        work=work,
        train=TrainConfig.read(
            arguments.config,
            data=[str(arguments.data)],
            out=str(work),
            steps=arguments.steps,
            seed=arguments.seed,
        ),
        ratio=arguments.ratio,
        arm=arguments.arm,
        unit=arguments.unit,
        tasks=tuple(name.strip() for name in arguments.tasks.split(",") if name.strip()),
        tracer=arguments.tracer,
        rule=arguments.rule,
        evidence=arguments.evidence,
        teacher=arguments.teacher,
        match=MatchConfig(
            rounds=arguments.rounds,
            pixel_rate=arguments.pixel_rate,
            action_rate=arguments.action_rate,
            adversarial=arguments.adversary,
        ),
        seed=arguments.seed,
    )
    executor = make_executor(arguments.processes or cores(), arguments.ray)
    summary = distill_data(config, executor, sys.stderr.isatty() or sys.stdout.isatty())
    print(json.dumps(summary, indent=1))
    print(f"train on it: vla train --config {arguments.config} --data {arguments.out} --out DIR")
    return 0
