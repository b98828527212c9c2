"""The vision tower: one image at a time to a grid of tokens.

SigLIP (arXiv 2303.15343) encoder layers over a convolutional stem (arXiv 2106.14881) or plain
patches. Positions are fixed sine-cosine at scale 0.5 after a LayerNorm: with learned ones of
std 0.02 a small model did not find objects in any affordable time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipEncoder

from vla_policy.model.config import ModelConfig, VisionConfig

POSITION_SCALE = 0.5


class VisionTower(nn.Module):
    """Images of all cameras to visual tokens; the cameras share the weights."""

    positions: Tensor
    camera_mark: nn.Parameter

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        vision = config.vision
        self.stem = _stem(vision)
        self.stem_norm = nn.LayerNorm(vision.width)
        siglip = SiglipVisionConfig(
            hidden_size=vision.width,
            intermediate_size=vision.mlp_width,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            image_size=config.image_size,
            patch_size=vision.patch,
        )
        siglip._attn_implementation = "eager"  # faster than SDPA in CPU training at this size
        self.encoder = SiglipEncoder(siglip)  # type: ignore[arg-type]
        self.norm = nn.LayerNorm(vision.width)
        side = config.image_size // vision.patch
        self.register_buffer(
            "positions", POSITION_SCALE * sine_cosine_grid(side, vision.width), persistent=False
        )
        self.camera_mark = nn.Parameter(torch.randn(len(config.cameras), 1, vision.width) * 0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Encode.

        Args:
            images: Shape (B, cameras, 3, H, W), float, in [-1, 1].

        Returns:
            Visual tokens, camera after camera. Shape (B, cameras * tokens_per_camera, width).
        """
        batch, cameras = images.shape[:2]
        grid = self.stem(images.flatten(0, 1))
        tokens = self.stem_norm(grid.flatten(2).transpose(1, 2)) + self.positions
        tokens = tokens + self.camera_mark.repeat(batch, 1, 1)
        hidden = self.encoder(inputs_embeds=tokens).last_hidden_state
        return self.norm(hidden).reshape(batch, cameras * hidden.shape[1], -1)


def _stem(config: VisionConfig) -> nn.Module:
    if config.stem == "patch":
        return nn.Conv2d(3, config.width, config.patch, config.patch)
    layers: list[nn.Module] = []
    channels, stride = 3, 1
    while stride < config.patch:
        stride *= 2
        out = max(config.width * stride // config.patch, 16)
        layers += [
            nn.Conv2d(channels, out, 3, 2, 1),
            nn.GroupNorm(max(out // 16, 1), out),
            nn.GELU(),
        ]
        channels = out
    return nn.Sequential(*layers, nn.Conv2d(channels, config.width, 1))


def sine_cosine_grid(side: int, width: int) -> Tensor:
    """2-D sine-cosine position embedding.

    Returns:
        Row after row of the grid. Shape (side * side, width), in [-1, 1].
    """
    frequencies = torch.exp(torch.linspace(0.0, -4.0, width // 4)) * torch.pi / 2
    place = torch.arange(side, dtype=torch.float32)[:, None] * frequencies
    axis = torch.cat([place.sin(), place.cos()], dim=1)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=-1).reshape(side * side, -1)
