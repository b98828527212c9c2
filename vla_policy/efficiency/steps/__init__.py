"""Which denoising steps are there, and which are computed? Two knobs of the action head.

Both need no fitting and work in any policy; a recipe only says where they stand.
"""

from __future__ import annotations

from typing import Protocol

from vla_policy.efficiency.method import Method


class StepMethod(Method, Protocol):
    """Sets one of the head's knobs."""

    def value(self, steps: int) -> int:
        """What the knob is set to, in a head of ``steps`` steps."""
        ...
