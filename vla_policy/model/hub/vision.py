"""DINOv2 and SigLIP side by side, as Prismatic uses them: states of the last layer but one.

Prismatic VLMs, arXiv 2402.07865, section 4.2; module names as in timm's vision transformer. The
layers after that state, and SigLIP's pooling, are in the files and never run: the reader checks
them and leaves them out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_policy.model.hub.config import PrismaticConfig, TowerConfig

EPSILON = 1e-6


class Scale(nn.Module):
    """LayerScale (arXiv 2103.17239)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Scale (..., width) channel by channel."""
        return x * self.gamma


class Attention(nn.Module):
    """Attention of all to all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in (B, N, width)."""
        batch, count, width = x.shape
        qkv = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self.proj(attended.transpose(1, 2).reshape(batch, count, width))


class Mlp(nn.Module):
    """Two layers."""

    def __init__(self, width: int, mlp_width: int, approximate: str = "none") -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, mlp_width), nn.Linear(mlp_width, width)
        self.act = nn.GELU(approximate=approximate)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (..., width)."""
        return self.fc2(self.act(self.fc1(x)))


class TowerBlock(nn.Module):
    """Pre-norm layer of a vision transformer."""

    def __init__(self, tower: TowerConfig) -> None:
        super().__init__()
        width = tower.width
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, tower.heads)
        self.ls1 = Scale(width) if tower.scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width, tower.mlp_width)
        self.ls2 = Scale(width) if tower.scaled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, N, width)."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Tower(nn.Module):
    """A vision transformer up to its last layer but one."""

    def __init__(self, tower: TowerConfig, patch: int, patches: int) -> None:
        super().__init__()
        width = tower.width
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.pos_embed = nn.Parameter(torch.zeros(1, patches, width))
        self.prefix = 0
        if tower.registers:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
            self.reg_token = nn.Parameter(torch.zeros(1, tower.registers, width))
            self.prefix = 1 + tower.registers
        self.blocks = nn.ModuleList(TowerBlock(tower) for _ in range(tower.layers - 1))
        self.mean, self.std = tower.mean, tower.std

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] to patch states (B, patches, width)."""
        mean, std = (images.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        pixels = ((images + 1.0) / 2.0 - mean) / std
        x = self.patch_embed["proj"](pixels.to(self.pos_embed.dtype)).flatten(2).transpose(1, 2)
        x = x + self.pos_embed  # positions before the prefix, which has none
        if self.prefix:
            prefix = torch.cat([self.cls_token, self.reg_token], dim=1)
            x = torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return x[:, self.prefix :]


class FusedTower(nn.Module):
    """Both towers on the same image, their states side by side."""

    def __init__(self, config: PrismaticConfig) -> None:
        super().__init__()
        patch, patches = config.vision.patch, config.tokens_per_camera
        self.dino = Tower(config.dino, patch, patches)
        self.siglip = Tower(config.siglip, patch, patches)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 1, 3, H, W) in [-1, 1] to visual tokens (B, V, both widths)."""
        image = images[:, 0]
        return torch.cat([self.dino(image), self.siglip(image)], dim=2)
