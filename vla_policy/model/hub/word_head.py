"""OpenVLA's actions: words of the language, the last ones of its vocabulary.

OpenVLA, arXiv 2406.09246, section 3.2: each number of an action is cut into bins, and bin i is the
word that stands i places before the end.
"""

from __future__ import annotations

from torch import Tensor, nn

from vla_policy.model.hub.config import PrismaticConfig
from vla_policy.model.plan import Plan


class WordHead(nn.Module):
    """From states to words, and from words to numbers."""

    def __init__(self, config: PrismaticConfig) -> None:
        super().__init__()
        self.config = config
        self.action_size = config.action_size
        self.words = nn.Linear(config.language.width, config.language.vocabulary, bias=False)

    def choose(self, state: Tensor) -> Tensor:
        """The likeliest word (B,) for a state (B, width); any word, as in the released code."""
        return self.words(state).argmax(-1)

    def read(self, words: Tensor) -> Tensor:
        """Middles of the bins of words (B, action_size), in [-1, 1].

        A word that stands for no bin counts as the nearest one.
        """
        vocabulary, bins = self.config.language.vocabulary, self.config.bins
        place = (vocabulary - self.config.padded_words - words - 1).clamp(0, bins - 2)
        return (2.0 * place.double() + 1.0) / (bins - 1) - 1.0

    def sample(
        self, noise: Tensor, condition: Tensor, plan: Plan, guidance: None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """The action as it was written, in one step."""
        return condition, (1, 1)
