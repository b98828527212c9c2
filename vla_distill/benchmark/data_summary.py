"""The table of data distillation over its seeds: rates, and what every arm has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vla_distill.benchmark.comparison import won
from vla_distill.benchmark.data_config import FULL, FULL_SHORT
from vla_distill.evaluation.statistics import over_seeds, rate_over_seeds

BASELINES = ("random", "stratified_random")
"""What a choice has to beat, with as much data."""


def summarise(rows: Sequence[dict[str, Any]], main: float) -> list[dict[str, Any]]:
    """Over seeds, by arm and ratio, most data and then most success first.

    Of each: mean success with its interval, ``each`` seed's, times, success as a share of
    ``full``'s (None where that is not there, or 0), ``outcomes`` by task, ``lean`` of each seed,
    and ``against``, paired, each other of BASELINES with as many samples (a run on all data is held
    against those of the ratio ``main``), where there is one.
    """
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    cells: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: seeds.index(row["seed"])):
        cells.setdefault((row["arm"], row["ratio"]), []).append(row)
    base = float(np.mean([won(row) for row in cells.get((FULL, 1.0), [])] or [0.0]))
    result = []
    for (arm, ratio), own in cells.items():
        rate = rate_over_seeds([won(row) for row in own])
        result.append(
            {
                "arm": arm,
                "ratio": ratio,
                "success": rate.value,
                "low": rate.low,
                "high": rate.high,
                "of_full": rate.value / base if base else None,
                "against": {
                    name: found
                    for name in BASELINES
                    if name != arm and (found := _against(name, own, rows, main))
                },
                "outcomes": {
                    task: "".join(row["outcomes"][task] for row in own)
                    for task in own[0]["outcomes"]
                },
                "each": [row["success"] for row in own],
                "lean": [row["lean"] for row in own if row.get("lean")],
                "train_seconds": float(np.mean([row["train_seconds"] for row in own])),
                "preprocess_seconds": float(np.mean([row["preprocess_seconds"] for row in own])),
            }
        )
    return sorted(result, key=lambda row: (-row["ratio"], -row["success"]))


def _against(
    baseline: str, own: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], main: float
) -> dict[str, float] | None:
    """Paired difference to the rows of another arm, seed by seed."""
    others = {(row["ratio"], row["seed"]): row for row in rows if row["arm"] == baseline}
    base: list[list[bool]] = []
    found: list[list[bool]] = []
    for row in own:
        ratio = main if row["arm"] in (FULL, FULL_SHORT) else row["ratio"]
        if (ratio, row["seed"]) in others:
            base.append(won(others[ratio, row["seed"]]))
            found.append(won(row))
    return asdict(over_seeds(base, found)) if found else None
