"""Half an hour at full rate: is memory flat, does nothing stop the arm, does the rate stay?

python benchmarks/endurance.py --json benchmarks/results/endurance.json

The run of ``control_loop.py``, and beside it the memory of each node's process every few seconds
(:mod:`vla_distill.evaluation.memory` says what is counted).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import control_loop
import numpy as np

from vla_distill.evaluation.memory import MemoryWatch, growth

WARM_UP, WARM_UP_SHARE = 120.0, 0.1
"""Growth counts from here on [s], or in a short run from this share of it."""
TARGETS = {"growth_mb": 20.0, "arm_stops": 0, "rate_drift_percent": 1.0}
"""What the project asks for, at most."""


def rate(intervals_ms: Sequence[float]) -> dict[str, float]:
    """Commands a second in the first and in the last tenth of a run, and by how much they differ.

    Args:
        intervals_ms: between commands, in their order [ms].
    """
    tenth = max(len(intervals_ms) // 10, 1)
    first, last = (1e3 / np.mean(part) for part in (intervals_ms[:tenth], intervals_ms[-tenth:]))
    return {"first_hz": first, "last_hz": last, "drift_percent": 100.0 * (last / first - 1.0)}


def main() -> None:
    """Measure, print and write."""
    arguments = control_loop.parser(__doc__, seconds=1800.0).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a polite kill ends the nodes too
    with MemoryWatch() as watch:
        tap = control_loop.measure(arguments)
    begin, end = min(tap.times["/clock"].values()), max(tap.times["/clock"].values())
    warm_up = min(WARM_UP, WARM_UP_SHARE * arguments.seconds)
    found = control_loop.record(tap, arguments)
    found["memory"] = {
        name: growth([row for row in rows if begin <= row[0] <= end], warm_up)
        for name, rows in watch.samples.items()
    }
    found["warm_up_seconds"] = warm_up
    found["rate"] = rate(control_loop.command_intervals(tap))
    found["targets"] = {**control_loop.TARGETS, **TARGETS}
    control_loop.show(found)
    for name, values in {**found["memory"], "rate": found["rate"]}.items():
        print(f"{name:18s}" + "".join(f"  {key} {value:.2f}" for key, value in values.items()))
    control_loop.write(found, arguments.json)


if __name__ == "__main__":
    main()
