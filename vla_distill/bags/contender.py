"""A policy with its settings, to be judged on a bag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vla_distill.bags.errors import BagError
from vla_distill.bags.step import StepConfig
from vla_policy.contract import Policy
from vla_policy.efficiency.budget import Adjustable, Budget


@dataclass(frozen=True)
class Contender:
    """A policy, how often it is asked, and what a chunk may cost.

    Attributes:
        folder: of the policy.
        replan_steps: a new chunk is wanted so many of its steps after the last.
        compute: numbers of its :class:`Budget`, by name; the others are as its recipe says.

    Raises:
        BagError: ``replan_steps`` is out of range.
    """

    folder: Path
    replan_steps: int
    compute: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        StepConfig(self.replan_steps)  # said before anybody is asked

    def load(self, device: str) -> Policy:
        """Load the policy with its settings.

        Raises:
            BagError: compute was given for a policy that is not adjustable.
            PolicyError: the policy is broken, or a number is out of its range.
        """
        from vla_policy.checkpoint import load_policy  # torch takes seconds to import

        policy = load_policy(self.folder, device)
        if self.compute:
            plan = getattr(policy, "plan", None)
            if not isinstance(plan, Adjustable):
                raise BagError(
                    f"compute of {self.folder}",
                    got="a policy that is not adjustable",
                    expected="none to be given",
                )
            budget = replace(plan.default, **self.compute)
            budget.check(plan.limits)
            plan.budget = budget
        return policy


def parse_compute(text: str) -> dict[str, int]:
    """Read ``language_layers=6,visual_tokens=18``; nothing gives nothing.

    Raises:
        BagError: a name is none of a budget's, or a value no whole number.
    """
    found = {}
    for word in filter(None, text.split(",")):
        name, _, value = word.partition("=")
        if name not in Budget.__dataclass_fields__ or not value.isdecimal():
            known = ", ".join(Budget.__dataclass_fields__)
            raise BagError("compute", got=repr(word), expected=f"NAME=NUMBER, NAME one of {known}")
        found[name] = int(value)
    return found


def names_of(contenders: Sequence[Contender]) -> list[str]:
    """Short names, told apart by what differs."""
    names = [contender.folder.name or str(contender.folder) for contender in contenders]
    for more in (
        [", ".join(f"{key} {value}" for key, value in c.compute.items()) for c in contenders],
        [f"every {c.replan_steps}" for c in contenders],
    ):
        if len(set(names)) < len(names) and len(set(more)) > 1:
            names = [", ".join(filter(None, pair)) for pair in zip(names, more, strict=True)]
    if len(set(names)) < len(names):
        names = [str(contender.folder) for contender in contenders]
    return names
