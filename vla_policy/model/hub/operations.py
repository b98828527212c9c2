"""Floating-point operations of a Prismatic policy, counted as in :mod:`vla_policy.model.flops`."""

from __future__ import annotations

from collections.abc import Sequence

from vla_policy.model.flops import transformer_layer
from vla_policy.model.hub.config import PrismaticConfig
from vla_policy.model.hub.diffusion_head import FREQUENCIES


def vision(config: PrismaticConfig) -> float:
    """Both towers and the projector."""
    patches, patch = config.tokens_per_camera, config.vision.patch
    total = 0.0
    for tower in (config.dino, config.siglip):
        tokens = patches + (1 + tower.registers if tower.registers else 0)
        layer = transformer_layer(tokens, tower.width, tower.mlp_width, 2)
        total += 2.0 * patches * tower.width * 3 * patch**2 + (tower.layers - 1) * layer
    seen, width = config.dino.width + config.siglip.width, config.language.width
    return total + 2.0 * patches * (4 * seen**2 + 4 * seen * width + width**2)


def head(config: PrismaticConfig, steps: tuple[int, int]) -> float:
    """CogACT's denoising, all steps and those computed; twice where it is guided."""
    head, rows = config.head, 2 if config.guidance > 1.0 else 1
    around = (
        rows * 2.0 * config.language.width * head.width
        + 2.0 * (FREQUENCIES * head.width + head.width**2)
        + rows * 2 * 2.0 * config.horizon * config.action_size * head.width
    )
    layer = transformer_layer(config.horizon + 1, head.width, head.mlp_width, 2)
    return steps[0] * around + steps[1] * rows * head.layers * layer


def words(config: PrismaticConfig, text_tokens: int, visual_tokens: Sequence[int]) -> float:
    """OpenVLA's words: one token through all layers that ran for each but the last.

    Args:
        config: sizes.
        text_tokens: of the prompt.
        visual_tokens: that each layer that ran has keys of.
    """
    language = config.language
    matrices = 4 * language.width**2 + 3 * language.width * language.mlp_width
    total = config.action_size * 2.0 * language.width * language.vocabulary
    for number in range(1, config.action_size):
        for count in visual_tokens:
            keys = 1 + count + text_tokens + number
            total += 2.0 * matrices + 2 * 2.0 * keys * language.width
    return total
