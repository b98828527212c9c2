"""``vla bench flops``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_distill.cli.benches import origin, write


@dataclass(frozen=True)
class Flops:
    """Count operations and bytes on the meta device: any size, no weights needed.

    Attributes:
        preset: sizes of the network, e.g. cogact_base.
        recipe: a YAML file, or the name of a recipe that comes with the package.
        text: tokens of the instruction.
        json: write the numbers here.
    """

    preset: str
    recipe: str = "plain"
    text: int = 26
    json: Path | None = None


def main(arguments: Flops) -> int:
    """Count, print and write."""
    from vla_distill.benchmark.flops import compare
    from vla_policy.efficiency.recipe import read_recipe
    from vla_policy.model.config import preset

    cost = compare(preset(arguments.preset), read_recipe(arguments.recipe), arguments.text)
    stages = ", ".join(
        f"{stage} {cost['stages'][stage]:.4g} of {cost['base_stages'][stage]:.4g}"
        for stage in cost["stages"]
    )
    print(
        f"{arguments.preset} with {arguments.recipe}: {cost['gflops']:.4g} of"
        f" {cost['base_gflops']:.4g} GFLOP a chunk, {cost['ratio']:.1%} ({stages});"
        f" {cost['parameters'] / 1e6:.4g} of {cost['base_parameters'] / 1e6:.4g} M parameters"
    )
    if arguments.json:
        write({"preset": arguments.preset, **cost, **origin()}, arguments.json)
    return 0
