"""Control: fewer denoising steps, all of them computed.

What the cache of EfficientVLA has to beat at equal cost: N = 5 in 10 steps computes two, and two
steps of DDIM (arXiv 2010.02502) cost the same. The noise is the same, the walk is coarser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_policy.efficiency.method import Amount, count_of


@dataclass(frozen=True)
class FewSteps:
    """Denoises in fewer steps.

    Attributes:
        steps: how many.
    """

    name: ClassVar[str] = "few_steps"
    knob: ClassVar[str] = "head_steps"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    steps: Amount

    def value(self, steps: int) -> int:
        """How many of a head of ``steps`` steps.

        Raises:
            PolicyError: more than there are, or less than 1.
        """
        return count_of(self, "steps", steps)
