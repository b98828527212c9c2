"""Floating-point operations, counted on paper: a multiply and an add are two.

Only matrix products and convolutions count, as in fvcore and torch's FlopCounterMode, against which
a test holds these formulas. Attention scores count in full, although half of a causal mask is void.
"""

from __future__ import annotations

from vla_policy.model.actions import ACTION_SIZE, STATE_FEATURES
from vla_policy.model.config import ModelConfig


def transformer_layer(tokens: int, width: int, mlp_width: int, mlp_matrices: int) -> float:
    """One transformer layer: four projections, two attention products, the MLP."""
    projections = 4 * 2 * tokens * width**2
    attention = 2 * 2 * tokens**2 * width
    mlp = mlp_matrices * 2 * tokens * width * mlp_width
    return float(projections + attention + mlp)


def vision(config: ModelConfig) -> float:
    """Stem, tower and projector for all cameras."""
    tower, size = config.vision, config.image_size
    tokens = config.tokens_per_camera
    if tower.stem == "patch":
        stem = 2.0 * tokens * tower.width * 3 * tower.patch**2
    else:
        stem, channels, stride = 0.0, 3, 1
        while stride < tower.patch:
            stride *= 2
            out = max(tower.width * stride // tower.patch, 16)
            stem += 2.0 * (size // stride) ** 2 * out * channels * 9
            channels = out
        stem += 2.0 * tokens * channels * tower.width
    layers = tower.layers * transformer_layer(tokens, tower.width, tower.mlp_width, 2)
    width = config.language.width
    projector = 2.0 * tokens * (tower.width * width + width**2)
    return len(config.cameras) * (stem + layers + projector)


def language_layer(
    config: ModelConfig, visual_tokens: int, text_tokens: int, reused: int = 0
) -> float:
    """One language layer over the text, the state, the visual and the cognition tokens.

    Of the visual tokens ``reused`` are only attended to.
    """
    language = config.language
    tokens = text_tokens + visual_tokens + 2
    whole = transformer_layer(tokens - reused, language.width, language.mlp_width, 3)
    return whole + 2 * 2.0 * (tokens - reused) * reused * language.width


def grounding(config: ModelConfig, visual_tokens: int) -> float:
    """State embedding and pointers."""
    width, pointers = config.language.width, config.pointers
    state = 2.0 * (STATE_FEATURES * width + width**2)
    if not pointers:
        return state
    cameras = len(config.cameras)
    query = 2.0 * pointers * width**2
    keys = 2.0 * visual_tokens * width**2
    # With all tokens each camera mixes its own, else every camera mixes all, under a mask.
    mixtures = 1 if visual_tokens == config.visual_tokens else cameras
    pointing = (1 + mixtures) * 2.0 * pointers * visual_tokens * width
    values = 2.0 * cameras * pointers * width**2
    fuse = 2.0 * pointers * ((cameras + 1) * width * 2 * width + 2 * width**2 + 3 * width)
    return state + query + keys + pointing + values + fuse


def head_step(config: ModelConfig, computed: bool = True) -> float:
    """One denoising step; when reused, only what surrounds the blocks."""
    head, conditions = config.head, 2 + config.pointers
    tokens = conditions + config.horizon
    around = (
        2.0 * conditions * config.language.width * head.width
        + 2.0 * (64 * head.width + head.width**2)
        + 2 * 2.0 * config.horizon * ACTION_SIZE * head.width
    )
    if not computed:
        return around
    return around + head.layers * transformer_layer(tokens, head.width, head.mlp_width, 2)


def guidance(config: ModelConfig, steps: int, computed: int) -> float:
    """What real-time chunking adds to some denoising steps: gradients with respect to the actions.

    Of the two products behind a weight's forward one, only that towards its input is taken; the
    two products of attention have two each.
    """
    head = config.head
    tokens = 2 + config.pointers + config.horizon
    block = transformer_layer(tokens, head.width, head.mlp_width, 2)
    attention = 2 * 2 * tokens**2 * head.width
    around = 2 * 2.0 * config.horizon * ACTION_SIZE * head.width
    return steps * around + computed * head.layers * (block + attention)


def stages(config: ModelConfig, text_tokens: int) -> dict[str, float]:
    """Full compute of one chunk by stage [GFLOP]: vision, language, head."""
    tokens = config.visual_tokens
    language = config.language.layers * language_layer(config, tokens, text_tokens)
    return {
        "vision": vision(config) / 1e9,
        "language": (language + grounding(config, tokens)) / 1e9,
        "head": config.head.steps * head_step(config) / 1e9,
    }
