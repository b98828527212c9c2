"""The router: how much each language layer is needed for this observation.

Its weights are the student's own and lie in model.safetensors; which scores suffice for a layer to
run is a method's business (``vla_policy/efficiency/layers``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates

OPEN = 2.0
"""Score of every layer at birth: all run (sigmoid 0.88), none so surely that it cannot learn."""


class LayerRouter(nn.Module):
    """Two linear layers on what can be seen before the first language layer.

    ActDistill, arXiv 2511.18082: once a control step, from mean and max pooled image and text
    embeddings, one gate a layer. The state token is added, which the paper does not have: it tells
    approach from contact, and costs nothing. Scores are logits, in float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.router is not None
        width, layers = config.language.width, config.language.layers
        self.norm = nn.LayerNorm(5 * width)
        self.read = nn.Linear(5 * width, config.router.width)
        self.score = nn.Linear(config.router.width, layers)
        nn.init.constant_(self.score.bias, OPEN)

    def forward(self, tokens: TokenStates) -> Tensor:
        """Scores of all layers. Shape (B, layers), float32.

        Args:
            tokens: before the first layer.
        """
        start = tokens.visual.start
        text, state = tokens.hidden[:, : start - 1], tokens.hidden[:, start - 1]
        visual = tokens.hidden[:, tokens.visual]
        there = tokens.present[:, : start - 1, None]
        words = there.sum(1)
        mean = (text * there).sum(1) / words.clamp(min=1)
        # Of a sentence without a token it is 0, too.
        most = text.masked_fill(~there, torch.finfo(text.dtype).min).amax(1) * (words > 0)
        pooled = [visual.mean(1), visual.amax(1), mean, most, state]
        hidden = nn.functional.gelu(self.read(self.norm(torch.cat(pooled, dim=-1))))
        return self.score(hidden).float()
