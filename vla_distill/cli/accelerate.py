"""Make a policy cheaper by a recipe, without training: calibrate, and write the policy anew."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Arguments:
    """Calibrate a recipe on demonstrations and write a policy that follows it.

    Attributes:
        policy: folder of the plain policy.
        recipe: a YAML file, or the name of a recipe that comes with the package.
        out: folder of the new policy, which must not be there yet.
        data: dataset to calibrate on; needed by recipes that measure.
        samples: observations to calibrate on.
        seed: of their draw.
    """

    policy: Path
    recipe: str
    out: Path
    data: Path | None = None
    samples: int = 256
    seed: int = 0


def main(arguments: Arguments) -> int:
    """Run, and say what is saved."""
    from vla_distill.benchmark.flops import compare
    from vla_distill.calibration import draw_observations
    from vla_distill.errors import DistillError
    from vla_policy.checkpoint import load_policy, save_policy
    from vla_policy.efficiency.acceleration import accelerate
    from vla_policy.efficiency.recipe import read_recipe

    if arguments.out.exists():
        raise DistillError(
            "--out", got=f"{arguments.out}, which is there", expected="a folder that is not"
        )
    logging.basicConfig(format="%(message)s")
    logging.getLogger("vla_policy").setLevel(logging.INFO)  # measuring may take minutes
    recipe = read_recipe(arguments.recipe)
    plain = load_policy(arguments.policy)
    observations = []
    if arguments.data is not None:
        observations = draw_observations(
            arguments.data, arguments.samples, arguments.seed, policy=plain
        )
    policy = accelerate(plain, recipe, observations)
    there = plain.plan.recipe.methods  # type: ignore[attr-defined]
    left = tuple(m for m in recipe.methods if m.knob != "mlp_width" or m not in there)
    counted = replace(recipe, methods=left)  # MLPs that are narrow already are not cut again
    cost = compare(plain.config, counted, text_tokens=8)
    folder = save_policy(policy, arguments.out, _card(arguments, len(observations), cost["ratio"]))
    told = {
        "policy": str(folder),
        "recipe": recipe.name,
        "observations": len(observations),
        "gflops": cost["gflops"],
        "ratio": cost["ratio"],
        "ranking": list(policy.plan.recipe.ranking),  # type: ignore[attr-defined]
    }
    print(json.dumps(told, indent=1))
    return 0


def _card(arguments: Arguments, observations: int, ratio: float) -> str:
    from vla_distill.evaluation.machine import command, commit

    return f"""# {arguments.policy.name}, accelerated: {Path(arguments.recipe).stem}

The policy of `{arguments.policy.name}` with the recipe in `recipe.json`, not trained.
Calibrated on {observations} observations (seed {arguments.seed}).
A chunk takes {ratio:.1%} of the operations of `{arguments.policy.name}` in full (8 words of
instruction).

Made by `{command()}` at commit {commit() or "unknown"}.
"""
