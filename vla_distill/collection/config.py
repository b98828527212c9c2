"""What to collect, and with which seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_distill.collection.disturbance import DisturbanceConfig
from vla_distill.collection.errors import CollectionError
from vla_sim.constants import TRAIN_SEED_START

TRAIN_SEED_STOP = 100_000_000
"""Demonstrations use seeds from ``TRAIN_SEED_START`` up to here; evaluation those below 100 000."""


@dataclass(frozen=True)
class CollectConfig:
    """What to collect.

    Attributes:
        out: the dataset's folder; run again with the same words to go on after an interruption.
        suite: name of the suite.
        env: a Gymnasium environment instead of the suite: metaworld, or module:factory.
        tasks: comma-separated names of tasks; all of the suite or environment if empty.
        episodes: episodes kept of each task.
        seed: first seed of each task; 1 000 000 or more, so that evaluation seeds stay unseen.
        noise: scale of drift and injected errors; 0 for clean demonstrations.
        errors: share of the episodes in which an error is planned; none with env.
        processes: worker processes; 0 for one a core.
        json: also write the summary into this file.
    """

    out: Path
    suite: str = "arx5"
    env: str = ""
    tasks: str = ""
    episodes: int = 500
    seed: int = TRAIN_SEED_START
    noise: float = 1.0
    errors: float = DisturbanceConfig.error_share
    processes: int = 0
    json: Path | None = None

    def task_names(self) -> tuple[str, ...]:
        """The tasks, checked.

        Raises:
            CollectionError: a number is out of range.
            SimulationError: no such suite or task.
            AdapterError: no such environment, or it lacks a task or an expert.
        """
        if self.episodes < 1:
            raise CollectionError("episodes", got=self.episodes, expected="1 or more")
        last = TRAIN_SEED_STOP - 2 * self.episodes
        if not TRAIN_SEED_START <= self.seed <= last:
            raise CollectionError(
                "seed",
                got=self.seed,
                expected=f"{TRAIN_SEED_START} to {last}, where twice as many seeds as the "
                f"{self.episodes} episodes are left up to {TRAIN_SEED_STOP}",
            )
        if self.processes < 0:
            raise CollectionError("processes", got=self.processes, expected="0 or more")
        if not 0.0 <= self.noise <= 3.0:
            raise CollectionError("noise", got=self.noise, expected="0 to 3")
        if not 0.0 <= self.errors <= 1.0:
            raise CollectionError("errors", got=self.errors, expected="0 to 1")
        if self.env:
            from vla_distill.environments.description import load_description

            description = load_description(self.env)
            chosen = description.pick_tasks(self.tasks)
            description.make_expert(chosen[0])  # said before anything is begun
            return chosen
        from vla_sim.tasks import get_suite, get_task  # brings MuJoCo, which --help can do without

        names = [name.strip() for name in self.tasks.split(",") if name.strip()]
        for name in names:
            get_task(name)
        return tuple(dict.fromkeys(names)) or get_suite(self.suite)
