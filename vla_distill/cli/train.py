"""Train a policy on demonstrations; resumes where the run's folder left off.

With several processes or GPUs: ``torchrun -m vla_distill.cli.main train --config ...``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arguments:
    """Train a policy.

    Attributes:
        config: YAML file with the fields of vla_distill.training.config.TrainConfig.
        data: dataset folders, instead of the file's.
        out: folder of the run, instead of the file's.
        steps: optimiser steps, instead of the file's.
        seed: instead of the file's.
        threads: CPU threads of torch, instead of the file's.
        init: folder of a policy to start from, instead of the file's.
    """

    config: str
    data: list[str] | None = None
    out: str | None = None
    steps: int | None = None
    seed: int | None = None
    threads: int | None = None
    init: str | None = None


def main(arguments: Arguments) -> int:
    """Run, and say where the policy is."""
    from vla_distill.dataset.source import open_frames
    from vla_distill.training.config import TrainConfig
    from vla_distill.training.trainer import Trainer

    config = TrainConfig.read(
        arguments.config,
        data=arguments.data,
        out=arguments.out,
        steps=arguments.steps,
        seed=arguments.seed,
        threads=arguments.threads,
        init=arguments.init,
    )
    frames, seeds = open_frames(config.data)
    trainer = Trainer(config, frames, seeds)
    trainer.run()
    if trainer.accelerator.is_main_process:
        print(f"policy: {trainer.folder / 'policy'}   curve: {trainer.folder / 'curve.png'}")
    return 0
