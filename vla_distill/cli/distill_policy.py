"""Teach a policy to choose its layers (ActDistill); resumes where the folder left off.

With several processes or GPUs: ``torchrun -m vla_distill.cli.main distill-policy ...``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Arguments:
    """Teach a student, from a teacher and demonstrations.

    Attributes:
        config: YAML file with the fields of vla_distill.actdistill.config.StudentConfig; without
            one, teacher, data and out are needed and all else is as there by default.
        teacher: folder of the plain policy to begin as, instead of the file's.
        data: dataset folders, instead of the file's.
        out: folder of the run, instead of the file's; the student is in its ``policy``.
        budget: share of the language layers that shall run on average, instead of the file's.
        gates: router, or a rival: top_k, random, deepest; instead of the file's.
        imitates: graph, hidden or nothing, instead of the file's.
        steps: optimiser steps of stage 2, instead of the file's.
        graph_steps: optimiser steps of stage 1, instead of the file's.
        seed: instead of the file's.
        threads: CPU threads of torch, instead of the file's.
    """

    config: str | None = None
    teacher: str | None = None
    data: list[str] | None = None
    out: str | None = None
    budget: float | None = None
    gates: str | None = None
    imitates: str | None = None
    steps: int | None = None
    graph_steps: int | None = None
    seed: int | None = None
    threads: int | None = None


def main(arguments: Arguments) -> int:
    """Run, and say where the student is and what it costs."""
    from vla_distill.actdistill.config import StudentConfig
    from vla_distill.actdistill.distillation import distill
    from vla_distill.dataset.source import open_frames
    from vla_distill.errors import DistillError

    given = {key: value for key, value in asdict(arguments).items() if value is not None}
    source = given.pop("config", None)
    if source is not None:
        config = StudentConfig.read(source, **given)
    else:
        missing = [f"--{name}" for name in ("teacher", "data", "out") if name not in given]
        if missing:
            raise DistillError(", ".join(missing), got="nothing", expected="them, or --config")
        config = StudentConfig(**given)
    trainer = distill(config, *open_frames(config.data))
    if trainer.accelerator.is_main_process:
        print(f"student: {trainer.folder / 'policy'}   curve: {trainer.folder / 'curve.png'}")
    return 0
