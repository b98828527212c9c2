"""Both stages, each from where its folder left off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_distill.actdistill.config import StudentConfig
from vla_distill.actdistill.stage_one import ReaderTrainer, load_reader
from vla_distill.actdistill.stage_two import StudentTrainer
from vla_distill.dataset import FrameStore


def distill(
    config: StudentConfig, frames: FrameStore, seeds: NDArray[np.int64] | None = None
) -> StudentTrainer:
    """Teach a student.

    Args:
        config: what to do.
        frames: the demonstrations.
        seeds: of the episodes, see Trainer.

    Returns:
        The trainer of stage 2, at its end.
    """
    reader = None
    if config.imitates == "graph":
        stage = config.stage_one()
        first = ReaderTrainer(stage, frames)
        first.run()
        reader = load_reader(config.graph_folder, first.model, stage)
    trainer = StudentTrainer(config, frames, seeds, reader)
    trainer.run()
    return trainer
