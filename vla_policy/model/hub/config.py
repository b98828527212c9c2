"""Sizes of a Prismatic policy, as far as its files do not say them by shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

from vla_policy.model.config import ModelConfig

COGACT, OPENVLA = "cogact", "openvla"


@dataclass(frozen=True)
class TowerConfig:
    """One vision transformer in timm's layout.

    Attributes:
        width, layers, heads, mlp_width: sizes; the last layer is in the file and never runs.
        registers: register tokens; with them comes a class token.
        scaled: whether attention and MLP outputs are scaled channel by channel (LayerScale).
        mean, std: of the pixels in [0, 1] that it expects, by colour.
    """

    width: int
    layers: int
    heads: int
    mlp_width: int
    registers: int
    scaled: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


DINOV2 = TowerConfig(1024, 24, 16, 4096, 4, True, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""timm's vit_large_patch14_reg4_dinov2."""
SIGLIP = TowerConfig(1152, 27, 16, 4304, 0, False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""timm's vit_so400m_patch14_siglip_224."""


@dataclass(frozen=True)
class PrismaticConfig(ModelConfig):
    """A Prismatic policy.

    Of the fields of :class:`ModelConfig`, ``vision`` says only the patch and the joint width, and
    ``head`` the diffusion transformer of CogACT.

    Attributes:
        kind: ``cogact`` or ``openvla``.
        dino, siglip: the two towers.
        norm_epsilon: of Llama's norms.
        action_size: numbers of an action.
        guidance: scale of classifier-free guidance; 1 is none (CogACT).
        bins: edges between -1 and 1 that actions are cut at (OpenVLA).
        padded_words: words at the end of the vocabulary that only fill it up (OpenVLA).
    """

    kind: str = COGACT
    dino: TowerConfig = DINOV2
    siglip: TowerConfig = SIGLIP
    norm_epsilon: float = 1e-6
    action_size: int = 7
    guidance: float = 1.5
    bins: int = 256
    padded_words: int = 64
    pointers: int = 0
    cameras: tuple[str, ...] = field(default=("front",))
