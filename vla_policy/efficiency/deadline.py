"""The deadline controller: keeps a chunk's measured time under a deadline by moving the budget.

It goes down a ladder of budgets one rung at a time, at once when a chunk was late, and up again
only after many chunks with room to spare; a rise that was late again makes it wait twice as long
for the next. Imports no torch.
"""

from __future__ import annotations

from dataclasses import replace

from vla_policy.efficiency.budget import Budget, Limits

RUNGS = (
    ("head_cache_interval", 2.0),
    ("visual_tokens", 0.75),
    ("language_layers", 0.9),
    ("visual_tokens", 0.5),
    ("language_layers", 0.8),
    ("head_cache_interval", 4.0),
    ("visual_tokens", 0.33),
    ("language_layers", 0.7),
    ("language_layers", 0.6),
    ("language_layers", 0.5),
)
"""What each rung changes, times the ceiling's. The head first: by EfficientVLA's ablation
(arXiv 2506.10100, table 3) its cache costs least success; layers last."""
ROOM = 0.8
"""Share of the deadline below which there is room to do more."""
PATIENCE = 20
"""Chunks with room before the budget rises."""
MOST_PATIENCE = 16 * PATIENCE


def ladder(ceiling: Budget, limits: Limits) -> tuple[Budget, ...]:
    """Budgets from the ceiling down, each cheaper than the one before."""
    rungs = [ceiling]
    for knob, factor in RUNGS:
        low, high = limits[knob]
        value = min(max(round(factor * getattr(ceiling, knob)), low), high)
        budget = replace(rungs[-1], **{knob: value})
        if budget != rungs[-1]:
            rungs.append(budget)
    return tuple(rungs)


class DeadlineController:
    """Chooses a budget from what chunks were measured to take.

    Args:
        ceiling: the most that a chunk may cost.
        limits: what may be set.
        deadline: time a chunk may take [ms].
    """

    def __init__(self, ceiling: Budget, limits: Limits, deadline: float) -> None:
        self._ladder = ladder(ceiling, limits)
        self._deadline = deadline
        self._rung, self._with_room, self._patience = 0, 0, PATIENCE
        self._rose = False

    @property
    def budget(self) -> Budget:
        """What a chunk may cost now."""
        return self._ladder[self._rung]

    @property
    def lowered(self) -> bool:
        """Whether that is less than the ceiling."""
        return self._rung > 0

    def see(self, milliseconds: float) -> bool:
        """Take what a chunk of the present budget took [ms]; whether the budget is another now."""
        if not milliseconds <= self._deadline:
            return self._lower()
        self._with_room = self._with_room + 1 if milliseconds <= ROOM * self._deadline else 0
        if self._rose and self._with_room:
            self._rose, self._patience = False, PATIENCE  # the rise was a good one
        if self._rung == 0 or self._with_room < self._patience:
            return False
        self._rung, self._with_room, self._rose = self._rung - 1, 0, True
        return True

    def _lower(self) -> bool:
        self._with_room = 0
        if self._rose:
            self._rose, self._patience = False, min(2 * self._patience, MOST_PATIENCE)
        if self._rung == len(self._ladder) - 1:
            return False
        self._rung += 1
        return True
