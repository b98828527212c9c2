"""Memory of child processes over time, and whether it grows.

Counted is what no file stands behind, in memory or swapped out (RssAnon and VmSwap). A leak shows
there; libraries and shared memory do not, which come in as they are first used. To read it costs
the process nothing, where USS walks its page tables.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil

PERIOD = 2.0
"""Between looks [s]."""


class MemoryWatch:
    """Samples the memory of the nodes that this process has launched; thread of its own.

    Attributes:
        samples: node -> time since the epoch [s] and memory [MB], one row a look.
    """

    def __init__(self) -> None:
        self.samples: dict[str, list[tuple[float, float]]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def look(self) -> None:
        """Take one sample of each node."""
        for process in psutil.Process().children(recursive=True):
            try:
                name = re.search(r"__node:=(\w+)", " ".join(process.cmdline()))
                row = time.time(), own_megabytes(process.pid)
            except (psutil.Error, OSError):
                continue  # ended meanwhile
            if name:
                self.samples.setdefault(name[1], []).append(row)

    def _run(self) -> None:
        while not self._done.wait(PERIOD):
            self.look()


def own_megabytes(pid: int) -> float:
    """Memory of a process that no file stands behind, swapped out or not [MB]."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = re.findall(r"^(?:RssAnon|VmSwap):\s+(\d+) kB$", status, re.MULTILINE)
    return sum(map(int, kibibytes)) * 1024 / 1e6


def growth(samples: Sequence[tuple[float, float]], warm_up: float) -> dict[str, float]:
    """How memory grew after a warm-up.

    Args:
        samples: time [s] and memory [MB]. Shape (N, 2), in order of time.
        warm_up: samples until so long after the first do not count [s].

    Returns:
        Medians of the first and the last tenth of what counts and their difference [MB], and the
        slope of the line through all of it [MB/h]; NaN with fewer than two samples.
    """
    rows = np.array(samples, float).reshape(-1, 2)
    rows = rows[rows[:, 0] >= rows[:1, 0].sum() + warm_up]
    if len(rows) < 2:
        return dict.fromkeys(("warm_mb", "end_mb", "growth_mb", "slope_mb_per_hour"), float("nan"))
    hours, memory = (rows[:, 0] - rows[0, 0]) / 3600.0, rows[:, 1]
    tenth = max(len(rows) // 10, 1)
    warm, end = float(np.median(memory[:tenth])), float(np.median(memory[-tenth:]))
    slope = float(np.polyfit(hours, memory, 1)[0])
    return {"warm_mb": warm, "end_mb": end, "growth_mb": end - warm, "slope_mb_per_hour": slope}
