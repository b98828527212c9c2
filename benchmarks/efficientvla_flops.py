"""EfficientVLA's table of operations, counted again on a network of CogACT-Base's shape.

python benchmarks/efficientvla_flops.py

Writes benchmarks/results/efficientvla_flops.json and prints the table of docs/results/flops.md. No
weights are needed: torch counts on the meta device.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from vla_distill.benchmark import flops
from vla_distill.evaluation.machine import command, commit, machine
from vla_policy.efficiency.recipe import Recipe
from vla_policy.model.config import preset

CACHE = {"head_cache": {"interval": 5}}
NARROW = {"mlp_sparsity": {"share": 0.25}}
ROWS: dict[str, tuple[dict[str, Any], float | None]] = {
    "plain": ({}, 1.0),
    "random tokens, T112": ({"random_tokens": {"keep": 112}}, 0.585),
    "FastV, T56": ({"fastv": {"keep": 56}}, 0.420),
    **{
        f"L{layers} T{tokens}": (
            {
                "layer_importance": {"keep": layers},
                "task_diversity": {"keep": tokens},
                **NARROW,
                **CACHE,
            },
            paper,
        )
        for layers, tokens, paper in (
            (28, 112, 0.451),
            (28, 56, 0.329),
            (22, 112, 0.382),
            (22, 56, 0.289),
        )
    },
    "L22 T56 without MLP sparsity": (
        {"layer_importance": {"keep": 22}, "task_diversity": {"keep": 56}, **CACHE},
        None,
    ),
}
"""Methods of each row, and the share of operations that arXiv 2506.10100, table 1, gives."""


@dataclass(frozen=True)
class Arguments:
    """Count the table."""

    text: int = flops.TEXT_TOKENS
    """Tokens of the instruction."""
    json: Path = Path("benchmarks/results/efficientvla_flops.json")
    """Where the numbers go."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    config = preset("cogact_base")
    rows = []
    for name, (methods, paper) in ROWS.items():
        recipe = Recipe.from_dict({"methods": methods}, name)
        row = flops.count(config, recipe, arguments.text)
        base = rows[0] if rows else row
        rows.append({"name": name, "paper": paper, "ratio": row["gflops"] / base["gflops"], **row})
        stages = " + ".join(f"{row['stages'][stage]:.0f}" for stage in row["stages"])
        told = "" if paper is None else f"{100 * paper:.1f} %"
        print(
            f"| {name} | {stages} | {row['gflops']:.0f} | {100 * rows[-1]['ratio']:.1f} % | {told} "
            f"| {row['parameters'] / 1e9:.2f} | {row['weight_bytes'] / 1e9:.1f} "
            f"| {row['activation_bytes'] / 1e9:.2f} |",
            flush=True,
        )
    record = {"preset": "cogact_base", "text_tokens": arguments.text, "rows": rows}
    record |= {"commit": commit(), "command": command(), "machine": machine()}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
