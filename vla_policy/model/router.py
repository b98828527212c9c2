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
        text, state, visual = tokens.hidden[:, : tokens.visual.stop].tensor_split(
            (start - 1, start), 1
        )
        words = _pool(text, tokens.present[:, : start - 1])
        pooled = [visual.mean(1), visual.amax(1), *words, state[:, 0]]
        hidden = self.read(self.norm(torch.cat(pooled, dim=-1)))
        # GELU as x Phi(x): oneDNN's wakes its threads for these few numbers.
        return self.score(hidden * torch.special.ndtr(hidden)).float()


def _pool(states: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and greatest of those (B, N, width) that are present; 0 of a row without any."""
    if len(states) == 1 and states.shape[1]:  # as long as the longest of the batch: not padded
        return states.mean(1), states.amax(1)
    there = present[..., None]
    count = there.sum(1)
    mean = (states * there).sum(1) / count.clamp(min=1)
    most = states.masked_fill(~there, torch.finfo(states.dtype).min).amax(1) * (count > 0)
    return mean, most
