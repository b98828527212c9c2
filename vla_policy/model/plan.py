"""What is computed: the questions that the network asks while it runs.

The network asks a plan at fixed places: which visual tokens go on, which are computed again, does
this language layer run, how many denoising steps are there, is this one computed or reused.
:class:`FullCompute` answers with everything; ``vla_policy/efficiency`` answers with less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from vla_policy.contract import Memory
    from vla_policy.model.config import ModelConfig
    from vla_policy.model.network import NetworkInputs
    from vla_policy.model.router import LayerRouter
    from vla_policy.model.token_reuse import TokenReuse


@dataclass(frozen=True)
class TokenStates:
    """The tokens before a language layer.

    Attributes:
        hidden: Shape (B, N, width).
        visual: where the visual tokens lie in N.
        text: where the instruction lies in N.
        present: False where a row is padded. Shape (B, N), bool.
        rotary: cosine and sine of the positions. Shapes (B, N, head width).
        layers: of the stack.
        router: scores all layers from the tokens before the first one; None if there is none.
    """

    hidden: Tensor
    visual: slice
    text: slice
    present: Tensor
    rotary: tuple[Tensor, Tensor]
    layers: Sequence[nn.Module]
    router: LayerRouter | None = None


class Plan(Protocol):
    """Answers the network's questions."""

    def begin(self, memories: Sequence[Memory], inputs: NetworkInputs | None = None) -> Plan:
        """The plan of one inference, whose answers stay as they are now.

        Args:
            memories: of the episodes in the batch, by row; none outside of an episode.
            inputs: what the batch sees, where the answers may depend on it.
        """
        ...

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool | Tensor:
        """Whether language layer ``layer`` runs.

        Args:
            layer: asked from the first to the last.
            tokens: what would enter it.

        Returns:
            One answer for all rows, or one for each: Shape (B,), bool. Training answers in floats,
            0 or 1, shape (B,): the layer is computed for every row, so that a gradient reaches the
            answer, and the result is that of the same answer in bool.
        """
        ...

    def select_tokens(self, layer: int, tokens: TokenStates) -> Tensor | None:
        """Which visual tokens enter ``layer`` and all after it.

        Args:
            layer: the layer about to run.
            tokens: what would enter it.

        Returns:
            Indices into the visual tokens, ascending. Shape (B, kept). None keeps all.
        """
        ...

    def reuse_tokens(self, layer: int, tokens: TokenStates) -> TokenReuse | None:
        """Which visual tokens come from an earlier frame, in ``layer`` and all after it.

        Asked before each layer until there is an answer; from there on, no tokens are selected.

        Args:
            layer: the layer about to run.
            tokens: what would enter it.
        """
        ...

    def head_steps(self, steps: int) -> int:
        """How many denoising steps there are, where the configuration has ``steps``."""
        ...

    def refreshes_step(self, step: int, steps: int) -> bool:
        """Whether denoising step ``step`` of ``steps`` is computed (else block outputs are reused).

        Step 0 is always computed.
        """
        ...

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """Operations that finding the answers takes in one inference [FLOP]."""
        ...


class FullCompute:
    """Everything is computed."""

    def begin(self, memories: Sequence[Memory], inputs: NetworkInputs | None = None) -> Plan:
        """This plan."""
        return self

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool | Tensor:
        """Always."""
        return True

    def select_tokens(self, layer: int, tokens: TokenStates) -> Tensor | None:
        """All."""
        return None

    def reuse_tokens(self, layer: int, tokens: TokenStates) -> TokenReuse | None:
        """None."""
        return None

    def head_steps(self, steps: int) -> int:
        """As configured."""
        return steps

    def refreshes_step(self, step: int, steps: int) -> bool:
        """Always."""
        return True

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """None."""
        return 0.0
