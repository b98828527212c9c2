"""What the log of a run says: its loss curve, as a picture, and how long it took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from vla_distill.json_lines import read_json_lines

LINEAR = ("learning_rate", "layers", "gate_entropy", "gate_variation")
"""Numbers that are no losses."""


def training_seconds(run: Path) -> float:
    """What the optimiser steps of a run took by its log, without start-up, saving and validation.

    Args:
        run: its folder, with the ``config.json`` and ``log.jsonl`` that Trainer writes.
    """
    batch = json.loads((run / "config.json").read_text())["batch"]
    total, before = 0.0, 0
    for row in read_json_lines(run / "log.jsonl"):
        total += (row["step"] - before) * batch / row["samples_per_second"]
        before = row["step"]
    return total


def draw_curve(log: Path, picture: Path, names: Sequence[str]) -> None:
    """Draw some numbers of the JSON lines of ``log`` (see Trainer) into ``picture`` (PNG)."""
    rows = read_json_lines(log)
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3.4), layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        for key, label in ((name, "training"), (f"held_out_{name}", "held out, averaged weights")):
            points = [(row["step"], row[key]) for row in rows if key in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=label, linewidth=1.2)
        axis.set_title(name.replace("_", " "))
        axis.set_xlabel("step")
        if name not in LINEAR:
            axis.set_yscale("log")
            axis.legend(frameon=False)
    figure.savefig(picture, dpi=110)
    plt.close(figure)
