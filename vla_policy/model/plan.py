"""What is computed: the three questions that the network asks while it runs.

The network asks a plan at fixed places: does this language layer run, which visual tokens go on,
is this denoising step computed or reused. :class:`FullCompute` answers yes to everything.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Plan(Protocol):
    """Answers the network's questions for one inference."""

    def runs_layer(self, layer: int, hidden: Tensor) -> bool:
        """Whether language layer ``layer`` runs on ``hidden`` (B, N, width)."""
        ...

    def select_tokens(self, layer: int, hidden: Tensor, visual: slice) -> Tensor | None:
        """Which visual tokens enter ``layer`` and all after it.

        Args:
            layer: the layer about to run.
            hidden: token states. Shape (B, N, width).
            visual: where the visual tokens lie in N.

        Returns:
            Indices into the visual tokens, ascending. Shape (B, kept). None keeps all.
        """
        ...

    def refreshes_step(self, step: int, steps: int) -> bool:
        """Whether denoising step ``step`` of ``steps`` is computed (else block outputs are reused).

        Step 0 is always computed.
        """
        ...


class FullCompute:
    """Everything is computed."""

    def runs_layer(self, layer: int, hidden: Tensor) -> bool:
        """Always."""
        return True

    def select_tokens(self, layer: int, hidden: Tensor, visual: slice) -> Tensor | None:
        """All."""
        return None

    def refreshes_step(self, step: int, steps: int) -> bool:
        """Always."""
        return True
