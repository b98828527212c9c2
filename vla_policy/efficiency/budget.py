"""What a chunk may cost: five numbers, to be changed while the robot runs. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from vla_policy.contract import ComputeReport
from vla_policy.errors import PolicyError

Limits = Mapping[str, tuple[int, int]]
"""Least and greatest value of each number of a budget, by name."""


@dataclass(frozen=True)
class Budget:
    """What a chunk may cost.

    Attributes:
        language_layers: layers that run; on average, where a router chooses for each observation.
        visual_tokens: visual tokens that go on after the selection.
        head_cache_interval: denoising steps from one computed to the next; 1 computes all.
        head_steps: denoising steps.
        reused_tokens: visual tokens taken from earlier frames at most.
    """

    language_layers: int
    visual_tokens: int
    head_cache_interval: int
    head_steps: int
    reused_tokens: int = 0

    def check(self, limits: Limits) -> None:
        """Hold it against limits.

        Raises:
            PolicyError: a number lies outside; the message gives the range.
        """
        for name, value in asdict(self).items():
            low, high = limits[name]
            if type(value) is not int or not low <= value <= high:
                raise PolicyError(name, got=value, expected=f"{low} to {high}")

    def __str__(self) -> str:
        reused = f" of which up to {self.reused_tokens} are reused" if self.reused_tokens else ""
        return (
            f"{self.language_layers} layers, {self.visual_tokens} tokens{reused}, "
            f"{self.head_steps} head steps of which every {self.head_cache_interval}. is computed"
        )


def full_budget(limits: Limits) -> Budget:
    """The budget with which everything is computed."""
    whole = {name: high for name, (_, high) in limits.items()}
    return Budget(**{**whole, "head_cache_interval": 1, "reused_tokens": 0})


@runtime_checkable
class Adjustable(Protocol):
    """A plan whose budget can be set; what is set holds from the next inference on."""

    @property
    def budget(self) -> Budget:
        """What a chunk may cost now."""
        ...

    @budget.setter
    def budget(self, budget: Budget) -> None: ...

    @property
    def limits(self) -> Limits:
        """What may be set."""
        ...

    @property
    def default(self) -> Budget:
        """What the recipe says."""
        ...

    @property
    def whole(self) -> Budget:
        """All that the policy was trained to compute: what the guard compares with."""
        ...

    def can_have_made(self, report: ComputeReport) -> bool:
        """Whether a chunk can have been made within the budget that holds now."""
        ...
