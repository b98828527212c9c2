"""The network: images, text and state to a condition, and the condition to a chunk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_policy.model.actions import ACTION_SIZE, STATE_FEATURES
from vla_policy.model.config import ModelConfig
from vla_policy.model.grounding import Grounding
from vla_policy.model.head import ActionHead
from vla_policy.model.language import LanguageStack
from vla_policy.model.plan import Plan
from vla_policy.model.vision import VisionTower
from vla_policy.model.walk import LanguageOutput


@dataclass(frozen=True)
class NetworkInputs:
    """Observations as the network takes them.

    Attributes:
        images: Shape (B, cameras, 3, H, W), in [-1, 1].
        text, text_mask: token ids, and where they are. Shape (B, L).
        state: standardised features. Shape (B, 11).
    """

    images: Tensor
    text: Tensor
    text_mask: Tensor
    state: Tensor


@dataclass(frozen=True)
class Condition:
    """What the head is told.

    Attributes:
        tokens: cognition, state and pointer features. Shape (B, 2 + pointers, width).
        positions: what the pointers point at, relative to the end effector, in 0.1 m.
            Shape (B, pointers, 3).
        scores: the pointers' attention to the kept tokens, before softmax.
            Shape (B, pointers, kept).
        language: what the stack handed on.
    """

    tokens: Tensor
    positions: Tensor
    scores: Tensor
    language: LanguageOutput


class VlaNetwork(nn.Module):
    """Vision tower -> projector -> language stack -> action head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        vision, width = config.vision.width, config.language.width
        self.vision = VisionTower(config)
        self.projector = nn.Sequential(nn.Linear(vision, width), nn.GELU(), nn.Linear(width, width))
        self.state = nn.Sequential(
            nn.Linear(STATE_FEATURES, width), nn.GELU(), nn.Linear(width, width)
        )
        self.language = LanguageStack(config)
        self.grounding = Grounding(config) if config.pointers else None
        self.head = ActionHead(config, ACTION_SIZE)

    def see(self, images: Tensor) -> Tensor:
        """Images (B, cameras, 3, H, W) in [-1, 1] to projected tokens (B, V, width)."""
        return self.projector(self.vision(images))

    def think(
        self, visual: Tensor, text: Tensor, text_mask: Tensor, state: Tensor, plan: Plan
    ) -> Condition:
        """Visual tokens (B, V, width), text (B, L) and state features (B, 11) to a condition."""
        embedded = self.state(state)
        output = self.language(text, text_mask, embedded[:, None], visual, plan)
        tokens = [output.cognition[:, None], embedded[:, None]]
        positions, scores = visual.new_zeros(len(visual), 0, 3), visual[:, :0]
        if self.grounding is not None:
            features, positions, scores = self.grounding(
                output.cognition, output.visual, output.kept, embedded
            )
            tokens.append(features)
        return Condition(torch.cat(tokens, dim=1), positions, scores, output)
