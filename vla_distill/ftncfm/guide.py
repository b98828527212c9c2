"""The guide: a policy trained for a small part of a full run, whose gradients judge the samples.

FT-NCFM, section 3: 15 % of a full run. Its held-out frames are the reference of the scores, so it
never sees them. Policies are kept at a third, two thirds and the end, for TracIn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from vla_distill.ftncfm.config import start_hash
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.pool import Pool
from vla_distill.ftncfm.workfolder import agree
from vla_distill.training.config import TrainConfig
from vla_distill.training.trainer import Trainer

SHARE = 0.15
"""Of the steps of a full run."""
CHECKPOINTS = 3


@dataclass(frozen=True)
class Checkpoint:
    """A policy on the guide's way.

    Attributes:
        folder: of the policy.
        learning_rate: when it was kept: the weight that TracIn gives it.
    """

    folder: Path
    learning_rate: float


def train_guide(pool: Pool, full: TrainConfig, folder: Path) -> tuple[Checkpoint, ...]:
    """Train, or go on training, and return the policies kept, the last one last.

    Args:
        pool: trains on its rows, validates on its reference.
        full: a full run; the guide's differs in length, folder and split.
        folder: of the guide's run.

    Raises:
        DistillError: the folder holds another run, or one that began with another policy.
    """
    steps = max(round(SHARE * full.steps), CHECKPOINTS)
    every = math.ceil(steps / CHECKPOINTS)
    config = full.shortened(
        steps,
        out=str(folder),
        save_every=every,
        log_every=min(full.log_every, every),
        keep_policies=True,
    )
    settings = {k: v for k, v in config.to_dict().items() if k not in Trainer.free}
    source = {
        "source": pool.frames.content_hash,
        "rows": int(pool.rows.sum()),
        "steps": steps,
        "start": start_hash(full),
    }
    agree(folder, {**settings, **source})
    kept = sorted({min(number * every, steps) for number in range(1, CHECKPOINTS + 1)})
    folders = [folder / f"policy_{step:06d}" for step in kept]
    if not all((path / "config.json").is_file() for path in folders):
        split = (pool.rows, pool.reference)
        Trainer(config, pool.frames, pool.seeds, split).run()
    if missing := [str(path) for path in folders if not path.is_dir()]:
        raise DataDistillationError(
            f"{folder}", got=f"no {', '.join(missing)}", expected="the guide's run; remove it"
        )
    return tuple(
        Checkpoint(path, config.learning_rate_at(step - 1))
        for path, step in zip(folders, kept, strict=True)
    )
