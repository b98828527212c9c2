"""What the table of data distillation compares: arms, ratios and seeds, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vla_distill.evaluation.episode import specs
from vla_distill.ftncfm.arms import ARMS, FEATURES, get_arm
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.guide import SHARE
from vla_distill.ftncfm.matching import MatchConfig
from vla_distill.training.config import TrainConfig
from vla_distill.training.trainer import Trainer

FULL, FULL_SHORT = "full", "full_short"
EPISODES, SOFT, LONG = "_episodes", "_soft", "_long"
PIXELS, CHUNKS = "_pixels", "_chunks"
"""At the end of an arm's name: it chooses whole episodes instead of frames; its samples get the
teacher's chunks; it trains as long as ``full``, which tells data and steps apart; of synthetic
samples only the pixels are moved; only the chunks are."""
ENDINGS = {
    EPISODES: {"unit": "episodes"},
    SOFT: {},
    LONG: {},
    PIXELS: {"match": MatchConfig(action_rate=0.0)},
    CHUNKS: {"match": MatchConfig(pixel_rate=0.0)},
}
"""An arm has one at most; what each sets in :class:`DistillDataConfig` (the teacher is the
table's)."""
ROWS = (FULL, FULL_SHORT, *ARMS, "random" + EPISODES, "random" + SOFT)
"""What is compared at the main ratio if nothing else is asked for."""
SHORT = 5
"""A small set's training is so many times shorter than the full one."""
SEEDS = (42, 123, 1024)
"""FT-NCFM's."""
PILOT = 10
"""A pilot has so many times fewer steps and episodes, and one seed."""


def parts(arm: str) -> tuple[str, str]:
    """Name of the arm that chooses, and the ending that says what is done differently, or none."""
    ending = next((each for each in ENDINGS if arm.endswith(each)), "")
    return arm.removesuffix(ending), ending


@dataclass(frozen=True)
class Run:
    """A cell of the table: ``arm`` with ``ratio`` of the data, from ``seed``."""

    arm: str
    ratio: float
    seed: int

    @property
    def whole(self) -> bool:
        """Whether it trains on all data."""
        return self.arm in (FULL, FULL_SHORT)

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.arm}_{self.ratio:g}_{self.seed}"


def by_cell(rows: Iterable[Mapping[str, Any]]) -> dict[Run, dict[str, Any]]:
    """Rows of a table by their cells."""
    return {Run(row["arm"], row["ratio"], row["seed"]): dict(row) for row in rows}


@dataclass(frozen=True)
class DataBenchConfig:
    """What to compare.

    Attributes:
        data: the dataset.
        train: the full run.
        work: where everything is kept.
        tasks: that are trained and evaluated.
        env: a Gymnasium environment to evaluate in, as in ``vla eval --env``; empty for the suite.
        arms: at the main ratio; ``full``, ``full_short`` and names that end in ``_episodes``,
            ``_soft``, ``_long``, ``_pixels`` or ``_chunks`` may be among them.
        ratio: the main one.
        best: arms that are also run at ``more_ratios``.
        more_ratios: e.g. 1 % and 10 %.
        seeds: of split, guide, choice and training.
        episodes: evaluated a task.
        first_seed: of the evaluation.
        teacher: folder of the policy that arms which end in ``_soft`` ask, and that all labels are
            held against; empty for none.
        processes: that train, score and evaluate.
    """

    data: str
    train: TrainConfig
    work: Path
    tasks: tuple[str, ...]
    env: str = ""
    arms: tuple[str, ...] = ROWS
    ratio: float = 0.05
    best: tuple[str, ...] = ()
    more_ratios: tuple[float, ...] = (0.01, 0.1)
    seeds: tuple[int, ...] = SEEDS
    episodes: int = 100
    first_seed: int = 0
    teacher: str = "checkpoints/teacher"
    processes: int = 1

    def __post_init__(self) -> None:
        for arm in (*self.arms, *self.best):
            name, ending = parts(arm)
            if arm not in (FULL, FULL_SHORT):
                chooser = get_arm(name)
                if ending in (PIXELS, CHUNKS) and not chooser.synthetic:
                    raise DataDistillationError(
                        f"arm {arm}",
                        got="real samples",
                        expected=f"a synthetic arm before {ending}",
                    )
            if ending == SOFT and not self.teacher:
                raise DataDistillationError(f"teacher of {arm}", got="none", expected="--teacher")
        if whole := [arm for arm in self.best if arm in (FULL, FULL_SHORT)]:
            raise DataDistillationError(
                "best", got=whole[0], expected="arms of a ratio; it has all data and goes to arms"
            )
        for name in ("tasks", "arms", "seeds"):
            if not getattr(self, name):
                raise DataDistillationError(name, got="none", expected="at least one")
        for name, number, least in (
            ("steps", self.train.steps, SHORT),
            ("episodes", self.episodes, 1),
            ("processes", self.processes, 1),
            ("seeds", min(self.seeds), 0),
        ):
            if number < least:
                raise DataDistillationError(name, got=number, expected=f"{least} or more")
        for ratio in (self.ratio, *self.more_ratios):
            if not 0.0 < ratio <= 1.0:
                raise DataDistillationError("ratio", got=ratio, expected="above 0, 1 at most")
        # Refuses seeds that are not for evaluation.
        specs(self.tasks, range(self.first_seed, self.first_seed + self.episodes))

    def pilot(self) -> DataBenchConfig:
        """A tenth of it, in a folder of its own."""
        train = self.train.shortened(max(self.train.steps // PILOT, SHORT))
        return replace(
            self,
            train=train,
            work=self.work / "pilot",
            seeds=self.seeds[:1],
            episodes=max(self.episodes // PILOT, 1),
        )

    def runs(self) -> list[Run]:
        """All cells, each once, seed by seed, so that an interrupted table has whole seeds."""
        cells = []
        for seed in self.seeds:
            for arm in self.arms:
                cells.append(Run(arm, 1.0 if arm in (FULL, FULL_SHORT) else self.ratio, seed))
            cells += [Run(arm, ratio, seed) for arm in self.best for ratio in self.more_ratios]
        return list(dict.fromkeys(cells))

    def missing(self, known: Iterable[Mapping[str, Any]]) -> list[Run]:
        """Cells of which no row is known."""
        made = by_cell(known)
        return [cell for cell in self.runs() if cell not in made]

    @property
    def scenes(self) -> str:
        """Name of those that it evaluates on."""
        return f"{self.first_seed}_{self.episodes}"

    def trained(self) -> dict[str, Any]:
        """What two trainings must agree in to lie in one work folder."""
        train = {k: v for k, v in self.train.to_dict().items() if k not in Trainer.free}
        own = {name: getattr(self, name) for name in ("data", "tasks", "env", "teacher")}
        return json.loads(json.dumps({**train, **own, "steps": self.train.steps}))

    def conditions(self) -> dict[str, Any]:
        """What two cells must agree in to stand in one table."""
        return self.trained() | {"episodes": self.episodes, "first_seed": self.first_seed}

    def steps(self, run: Run) -> int:
        """Optimiser steps of a cell."""
        whole = run.arm == FULL or parts(run.arm)[1] == LONG
        return self.train.steps if whole else self.train.steps // SHORT


def cost(config: DataBenchConfig, known: Iterable[Mapping[str, Any]] = ()) -> dict[str, float]:
    """What is to come: trainings, optimiser steps in all (guides too), episodes."""
    runs = config.missing(known)
    steps = sum(config.steps(run) for run in runs)
    small = [run for run in runs if not run.whole]
    guides = {run.seed for run in small if ARMS[parts(run.arm)[0]].needs >= FEATURES}
    steps += round(SHARE * config.train.steps) * len(guides)
    return {
        "trainings": len(runs),
        "steps": steps,
        "samples": steps * config.train.batch,
        "episodes": len(runs) * config.episodes * len(config.tasks),
    }
