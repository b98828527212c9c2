"""The network of a Prismatic policy, asked and answered like :class:`VlaNetwork`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_policy.model.hub.config import COGACT, PrismaticConfig
from vla_policy.model.hub.diffusion_head import DiffusionHead
from vla_policy.model.hub.language import PrismaticStack
from vla_policy.model.hub.vision import FusedTower
from vla_policy.model.hub.word_head import WordHead
from vla_policy.model.network import Condition
from vla_policy.model.plan import Plan
from vla_policy.model.walk import PastKeys


class PrismaticNetwork(nn.Module):
    """Two vision towers -> projector -> Llama -> diffusion head, or an action in words."""

    def __init__(self, config: PrismaticConfig) -> None:
        super().__init__()
        self.config = config
        seen, width = config.dino.width + config.siglip.width, config.language.width
        self.vision = FusedTower(config)
        self.projector = nn.Sequential(
            nn.Linear(seen, 4 * seen),
            nn.GELU(),
            nn.Linear(4 * seen, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.language = PrismaticStack(config)
        self.head = DiffusionHead(config) if config.kind == COGACT else WordHead(config)

    def see(self, images: Tensor) -> Tensor:
        """Images (B, 1, 3, H, W) in [-1, 1] to projected tokens (B, V, width)."""
        return self.projector(self.vision(images))

    def think(
        self, visual: Tensor, text: Tensor, text_mask: Tensor, state: Tensor, plan: Plan
    ) -> Condition:
        """Visual tokens (B, V, width) and prompt (B, L) to what the head is told.

        That is the cognition feature (B, 1, width) for CogACT, and for OpenVLA the standardised
        action (B, 1, action_size) itself: its words are written here, one after the other. There is
        no state.
        """
        none = visual.new_zeros(len(visual), 0, 3)
        if isinstance(self.head, DiffusionHead):
            output = self.language(text, text_mask, visual, plan)
            return Condition(output.cognition[:, None], none, visual[:, :0], output)
        past = PastKeys()
        output = self.language(text, text_mask, visual, plan, past)
        state, words = output.cognition, []
        place = 1 + visual.shape[1] + text_mask.sum(1)
        for number in range(self.config.action_size):
            if number:
                state = self.language.follow(words[-1], place, output.layers_run[0], past)
                place = place + 1
            words.append(self.head.choose(state))
        action = self.head.read(torch.stack(words, dim=1))[:, None]
        return Condition(action, none, visual[:, :0], output)
