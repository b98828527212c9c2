"""VLA-Cache on a recorded bag: what it saves, and how far it lies from full compute.

    python benchmarks/vla_cache_bag.py --policy checkpoints/teacher --bag samples/reach.mcap

Each chunk of the bag is computed in full and with the cache, in order, for several limits on how
far a token's state may drift; 9 compares pixels only, as the paper does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from vla_distill.bags.content import read_bag
from vla_distill.bags.replay import observation_of
from vla_distill.evaluation.machine import command, commit, machine
from vla_policy.checkpoint import load_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.guard import disagreement
from vla_policy.efficiency.recipe import Recipe
from vla_policy.model.policy import VlaPolicy


@dataclass(frozen=True)
class Arguments:
    """What to compare.

    Attributes:
        policy: folder of a plain policy.
        bag: with ``action_chunk``.
        drifts: limits on the drift of a token's state.
        json: file for the result.
    """

    policy: Path = Path("checkpoints/teacher")
    bag: Path = Path("samples/reach.mcap")
    drifts: tuple[float, ...] = (0.05, 0.1, 0.2, 9.0)
    json: Path | None = None


def main(arguments: Arguments) -> None:
    bag = read_bag(arguments.bag)
    seen = [observation_of(bag, entry) for entry in bag.chunks]
    plain = load_policy(arguments.policy)
    result = {
        "rows": [compare(plain, seen, drift) for drift in arguments.drifts],
        "chunks": len(seen),
        "policy": plain.policy_hash,
        "commit": commit(),
        "command": command(),
        "machine": machine(),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if arguments.json is not None:
        arguments.json.write_text(text, encoding="utf-8")


def compare(plain: VlaPolicy, seen: list[Observation], drift: float) -> dict[str, Any]:
    recipe = Recipe.from_dict({"methods": {"vla_cache": {"drift": drift}}})
    policy = accelerate(plain, recipe, [])
    memory = policy.start(0)
    millimetres, ratios = [], []
    for observation in seen:
        full = plain.infer([observation], [replace(memory, store={})])[0]
        chunk = policy.infer([observation], [memory])[0]
        millimetres.append(disagreement(chunk, full).millimetres)
        ratios.append(chunk.report.gflops / full.report.gflops)
    return {
        "drift": drift,
        "mm": {"median": float(np.median(millimetres)), "max": max(millimetres)},
        "flops_ratio": float(np.mean(ratios)),
    }


if __name__ == "__main__":
    main(tyro.cli(Arguments))
