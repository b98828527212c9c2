"""EfficientVLA's cache of the action head.

EfficientVLA: Training-Free Acceleration and Compression for Vision-Language-Action Models,
arXiv 2506.10100, section 3.4, Eq. 6-11. Each block of the diffusion transformer keeps what its
attention and its MLP added to the residual stream; a step that is not computed adds them again.
What surrounds the blocks (embeddings, last norm and layer) is always computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_policy.errors import PolicyError


@dataclass(frozen=True)
class HeadCache:
    """Computes the blocks in every ``interval``-th step only.

    Attributes:
        interval: N of the paper; 1 computes all.
    """

    name: ClassVar[str] = "head_cache"
    knob: ClassVar[str] = "head_cache_interval"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset()
    interval: int

    def value(self, steps: int) -> int:
        """The interval; above the number of steps it means the same as that number.

        Raises:
            PolicyError: less than 1.
        """
        if self.interval < 1:
            raise PolicyError("head_cache: interval", got=self.interval, expected="at least 1")
        return min(self.interval, steps)


def is_computed(step: int, steps: int, interval: int) -> bool:
    """Whether a step is computed (Eq. 6-8) or reused (Eq. 9-11).

    The paper counts time down, t = T ... 1, computes at t = T and whenever t mod N = 0: with N = 5
    and T = 10 that is t = 10 and t = 5.

    Args:
        step: counted up from 0.
        steps: T.
        interval: N.
    """
    return step == 0 or (steps - step) % interval == 0
