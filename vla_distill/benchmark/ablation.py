"""Recipes against each other: success with and without the cost of time, operations, speed.

Everything is kept in a work folder (accelerated policies, journals of the episodes, times), so that
an interrupted ablation goes on. All rows see the same seeds, and differences are paired.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_distill.benchmark.comparison import PLAIN, ComparisonConfig, compare, recipe_of
from vla_distill.calibration import draw_observations
from vla_distill.errors import DistillError
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import read_recipe

RECIPES = (
    "efficientvla", "random_tokens", "uniform_tokens", "deepest_layers", "random_layers",
    "few_steps", "fastv", "vla_cache",
)  # fmt: skip
"""Rows after the plain policy, in order."""


@dataclass(frozen=True)
class AblationConfig(ComparisonConfig):
    """What to compare. How is said at ComparisonConfig.

    Attributes:
        policy: folder of the plain policy.
        data: dataset to calibrate on.
        recipes: names or files.
        others: folders of further policies by the name of their row, e.g. of a student, or of a
            small one trained from scratch.
        samples: observations to calibrate on.
    """

    policy: Path = field(kw_only=True)
    data: Path = field(kw_only=True)
    recipes: Sequence[str] = RECIPES
    others: Mapping[str, Path] = field(default_factory=dict)
    samples: int = 256


def run(config: AblationConfig) -> Iterator[dict[str, Any]]:
    """Make the table, row by row; a row stands when it is yielded.

    Yields:
        Rows as of :func:`vla_distill.benchmark.comparison.compare`.

    Raises:
        DistillError: the work folder holds policies of another plain policy.
        PolicyError: a recipe or policy is not there or does not fit.
    """
    draw = functools.cache(lambda: draw_observations(config.data, config.samples))
    yield from compare(config, dict(_prepare(config, draw)), draw)


def _prepare(
    config: AblationConfig, draw: Callable[[], Sequence[Observation]]
) -> Iterator[tuple[str, Path]]:
    """Folder of each policy by the row's name; accelerates those that are not there yet."""
    yield PLAIN, config.policy
    plain = load_policy(config.policy)
    for source in config.recipes:
        recipe = read_recipe(source)
        folder = config.work / "policies" / recipe.name
        if not (folder / "config.json").is_file():
            save_policy(accelerate(plain, recipe, draw()), folder)
        made = recipe_of(load_policy(folder))
        if made.origin != plain.policy_hash or made.methods != recipe.methods:
            raise DistillError(
                f"{folder}",
                got=f"another recipe, or one for the policy {made.origin}",
                expected=f"{recipe.name} for {plain.policy_hash}: remove the folder",
            )
        yield recipe.name, folder
    yield from config.others.items()
