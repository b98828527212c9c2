"""What every layer of a stack hands to the next."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vla_policy.model.language import LanguageOutput
from vla_policy.model.plan import Plan, TokenStates


class Trace:
    """Answers as another plan does, and keeps the tokens."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._entered: list[Tensor] = []
        self._present: list[Tensor] = []

    def runs_layer(self, layer: int, tokens: TokenStates) -> bool | Tensor:
        """As the other plan says."""
        self._entered.append(tokens.hidden)
        self._present.append(tokens.present)
        return self._plan.runs_layer(layer, tokens)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plan, name)

    def states(self, output: LanguageOutput) -> list[Tensor]:
        """States after each layer, (B, N, width) each; of one that was left out, those before."""
        return [*self._entered[1:], output.hidden]

    @property
    def present(self) -> list[Tensor]:
        """False where a row of these states is padded. Shapes (B, N), bool."""
        return [*self._present[1:], self._present[-1]]
