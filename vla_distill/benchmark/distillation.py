"""ActDistill against its rivals and without its parts: trained alike, compared on the same seeds.

Each arm is a change of one configuration, and a training of its own process, whose row stands
before the next one begins; trainings and evaluations resume. Students of one seed share stage 1 and
the teacher's targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vla_distill.actdistill.config import StudentConfig
from vla_distill.benchmark.comparison import (
    PLAIN,
    ComparisonConfig,
    compare,
    recipe_of,
    time_all,
    won,
)
from vla_distill.calibration import draw_observations
from vla_distill.errors import DistillError
from vla_distill.evaluation.statistics import over_seeds
from vla_distill.training.launch import launch
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe, read_recipe

ARMS: dict[str, dict[str, Any]] = {
    "student": {},
    "deepest_layers": {"gates": "deepest", "imitates": "nothing"},
    "deepest_hidden": {"gates": "deepest", "imitates": "hidden", "thin": 0.0},
    "top_k_router": {"gates": "top_k"},
    "random_gates": {"gates": "random"},
    "without_graph": {"graph_layers": 0},
    "without_probes": {"probe_weight": 0.0},
    "without_similarity": {"similarity_weight": 0.0},
    "without_teacher": {"imitates": "nothing"},
}
"""What each arm changes of the student's configuration. The rival routers keep its losses, so that
only the rule is another. Hidden states are compared token by token, so all tokens stay there."""
STUDENT = "student"
RIVALS = (STUDENT, "deepest_layers", "deepest_hidden")
"""Arms that are trained with every seed; all others with the first."""
FAST = "student_fast"
"""The student of the usual seed with fewer visual tokens; a recipe that extends its own."""
UNTRAINED = "layer_importance"
"""EfficientVLA's layers at the student's budget, without training."""
PILOT = 10
"""A pilot is this much shorter."""


@dataclass(frozen=True)
class DistillationConfig(ComparisonConfig):
    """What to train and compare. How it is compared is said at ComparisonConfig.

    Attributes:
        student: the configuration of which arms are changes.
        arms: names of :data:`ARMS`.
        seeds: of training.
        others: name -> folder of further policies, e.g. ``small_scratch``.
        samples: observations to calibrate on and to time chunks with.
        known: rows that were made before, by name, by the same teacher and configuration. They
            stand; nothing is trained for them.
    """

    student: StudentConfig = field(kw_only=True)
    arms: Sequence[str] = tuple(ARMS)
    seeds: Sequence[int] = (0,)
    others: Mapping[str, Path] = field(default_factory=dict)
    samples: int = 256
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.arms:
            if name not in ARMS:
                raise DistillError("arm", got=name, expected=f"one of {list(ARMS)}")
        if not self.seeds:
            raise DistillError("seeds", got="none", expected="at least one")

    def pilot(self) -> DistillationConfig:
        """The same at a tenth of the steps and episodes, in a folder of its own."""
        student = self.student
        return replace(
            self,
            work=self.work / "pilot",
            known={},
            episodes=max(self.episodes // PILOT, 1),
            student=replace(
                student,
                steps=max(student.steps // PILOT, 1),
                graph_steps=max(student.graph_steps // PILOT, 1),
                warmup=student.warmup // PILOT,
            ),
        )


def trainings(config: DistillationConfig) -> dict[str, StudentConfig]:
    """The configuration of every training, by the name of its row."""
    found = {}
    for arm in config.arms:
        for seed in config.seeds if arm in RIVALS else config.seeds[:1]:
            changed = replace(config.student, **ARMS[arm])
            shared = f"{'graph' if changed.graph_layers else 'pooled'}_seed{seed}"
            found[row_name(arm, seed, config.student.seed)] = replace(
                changed,
                seed=seed,
                out=str(config.work / "students" / _folder(f"{arm}#{seed}", seed)),
                graph=str(config.work / "stage_one" / shared),
                cache=str(config.work / "targets" / shared),
            )
    return found


def row_name(arm: str, seed: int, usual: int) -> str:
    """What a row is called: the arm, with the seed if it is not the configuration's."""
    return arm if seed == usual else f"{arm}#{seed}"


def run(config: DistillationConfig) -> Iterator[dict[str, Any]]:
    """Make the table, row by row: what is known, then train, time and evaluate what is not.

    Yields:
        Rows as of :func:`vla_distill.benchmark.comparison.compare`, with ``arm``.

    Raises:
        DistillError: a training failed, or another policy has the name of a row.
        PolicyError: a policy is not there or does not fit.
    """
    rows: dict[str, dict[str, Any]] = {name: dict(row) for name, row in config.known.items()}
    plain = Path(config.student.teacher)
    seen = draw_observations(config.student.data[0], config.samples)
    makers = {**_trained(config), **_untrained(config, seen)}
    if taken := sorted(makers.keys() & config.others.keys()):
        raise DistillError("others", got=taken, expected="names that no other row has")
    for name, folder in config.others.items():
        makers[name] = partial(Path, folder)
        if name in rows and rows[name].get("policy_hash") != load_policy(folder).policy_hash:
            del rows[name]  # of another policy
    yield from list(rows.values())
    for name, make in makers.items():
        if name in rows:
            continue
        folders = {PLAIN: plain, name: make()}
        for row in compare(config, folders, lambda: seen, rows):
            rows[row["name"]] = {"arm": row["name"].split("#")[0], **row}
            yield rows[row["name"]]


def retimed(config: DistillationConfig, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with times of one run, all policies in turns: rows are made on many days.

    Raises:
        PolicyError: the policy of a row is not in the work folder.
    """
    folders = {
        row["name"]: config.work / "students" / _folder(row["name"], config.student.seed) / "policy"
        for row in rows
    }
    folders |= {PLAIN: Path(config.student.teacher), **config.others}
    policies = {row["name"]: load_policy(folders[row["name"]]) for row in rows}
    seen = draw_observations(config.student.data[0], config.samples)
    times = time_all(policies, config.chunks, seen)
    return [{**row, **times[row["name"]]} for row in rows]


def _folder(name: str, usual: int) -> str:
    """Of a row's policy among the students."""
    arm, _, seed = name.partition("#")
    return f"{arm}_seed{seed or usual}" if arm in ARMS else arm


def _trained(config: DistillationConfig) -> dict[str, Callable[[], Path]]:
    """What trains the policy of each row, and gives its folder."""

    def make(student: StudentConfig) -> Path:
        train(student, config.processes)
        return Path(student.out) / "policy"

    return {name: partial(make, student) for name, student in trainings(config).items()}


def _untrained(
    config: DistillationConfig, seen: Sequence[Observation]
) -> dict[str, Callable[[], Path]]:
    """The same for rows that need no training of their own."""

    def make(name: str, start: Callable[[], Path], recipe: Callable[[Path], Recipe]) -> Path:
        folder = config.work / "students" / name / "policy"
        if not (folder / "config.json").is_file():
            policy = start()
            save_policy(accelerate(load_policy(policy), recipe(policy), seen), folder)
        return folder

    methods = {UNTRAINED: {"keep": config.student.budget}}
    untrained = Recipe.from_dict({"methods": methods}, UNTRAINED)
    teacher = partial(Path, config.student.teacher)
    found = {UNTRAINED: partial(make, UNTRAINED, teacher, lambda _: untrained)}
    if "student" in config.arms and config.student.gates == "router":
        found[FAST] = partial(make, FAST, _trained(config)["student"], _faster)
    return found


def _faster(student: Path) -> Recipe:
    """The student's own recipe and what :data:`FAST` adds to it."""
    own = recipe_of(load_policy(student)).methods
    knobs = {method.knob for method in own}
    more = (method for method in read_recipe(FAST).methods if method.knob not in knobs)
    return Recipe(FAST, (*own, *more))


def train(student: StudentConfig, processes: int) -> None:
    """Train in processes of their own.

    Raises:
        DistillError: the training failed; its own message is above.
    """
    values = student.to_dict()
    values.pop("init")  # is the teacher
    launch("distill-policy", values, processes)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Arms over their seeds: mean success, its paired difference to plain, and the ``lead`` of the
    student over it on the seeds that both were trained with; None where there is none."""
    plain = won(rows[0])
    students = {_seed(row): won(row) for row in rows if row["arm"] == STUDENT}
    found = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        wins = [won(row) for row in own]
        found.append(
            {
                "arm": arm,
                "seeds": len(own),
                "success": float(np.mean(wins)),
                "difference": asdict(over_seeds([plain] * len(own), wins)),
                "lead": _lead(own, students),
                "flops_ratio": sum(row["flops_ratio"] for row in own) / len(own),
                "speedup": sum(row["speedup"] for row in own) / len(own),
            }
        )
    return found


def _seed(row: Mapping[str, Any]) -> str:
    """Of a row's training; empty for the usual one."""
    return row["name"].partition("#")[2]


def _lead(
    own: Sequence[Mapping[str, Any]], students: Mapping[str, list[bool]]
) -> dict[str, float] | None:
    both = [row for row in own if _seed(row) in students]
    if not both or own[0]["arm"] == STUDENT:
        return None
    return asdict(over_seeds([won(row) for row in both], [students[_seed(row)] for row in both]))
