"""What of a bag could not be read or used, and why: nothing is skipped without a word."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Fault:
    """Messages that were lost or left out.

    Attributes:
        topic: their topic; empty where it is not known, as in a damaged part of the file.
        time: stamp or log time of the first [s]; None where it is not known.
        reason: what is wrong.
        count: how many messages; 0 where that is not known.
    """

    topic: str
    time: float | None
    reason: str
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        when = "" if self.time is None else f" at {self.time:.3f} s"
        many = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.topic or 'file'}{when}: {self.reason}{many}"


class FaultList:
    """Collects faults; equal reasons on a topic are counted together."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str], Fault] = {}

    def add(self, topic: str, time: float | None, reason: str, count: int = 1) -> None:
        """Note a fault; the time of the first of its kind stays."""
        key = topic, reason
        known = self._faults.get(key)
        fault = Fault(topic, time, reason, count)
        self._faults[key] = replace(known, count=known.count + count) if known else fault

    def __iter__(self):
        return iter(self._faults.values())

    def __len__(self) -> int:
        return len(self._faults)
