"""The loss curve of a run, as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

LINEAR = ("learning_rate", "layers", "gate_entropy", "gate_variation")
"""Numbers that are no losses."""


def draw_curve(log: Path, picture: Path, names: Sequence[str]) -> None:
    """Draw some numbers of the JSON lines of ``log`` (see Trainer) into ``picture`` (PNG)."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
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
