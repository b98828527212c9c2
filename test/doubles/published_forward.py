"""The published forward passes of CogACT and OpenVLA once more, in plain functions, for one row.

Written from the papers and the released code's behaviour, with none of the project's modules.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]


def linear(t: Tensors, name: str, x: Tensor) -> Tensor:
    return F.linear(x, t[f"{name}.weight"], t.get(f"{name}.bias"))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, causal: bool) -> Tensor:
    """One row (N, width), head after head."""
    outputs = []
    for q1, k1, v1 in zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1)):
        scores = q1 @ k1.T / math.sqrt(q1.shape[1])
        if causal:
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        outputs.append(scores.softmax(1) @ v1)
    return torch.cat(outputs, 1)


def vit(t: Tensors, name: str, pixels: Tensor, tower, patch: int) -> Tensor:
    """Second-to-last layer's patch states; pixels (3, H, W) in [0, 1]."""
    mean, std = (torch.tensor(each)[:, None, None].to(pixels) for each in (tower.mean, tower.std))
    image = (pixels - mean) / std
    w = t[f"{name}.patch_embed.proj.weight"]
    rows = []
    for row in range(0, image.shape[1], patch):
        for column in range(0, image.shape[2], patch):
            square = image[:, row : row + patch, column : column + patch]
            rows.append((w * square).sum((1, 2, 3)) + t[f"{name}.patch_embed.proj.bias"])
    x = torch.stack(rows) + t[f"{name}.pos_embed"][0]
    if tower.registers:
        x = torch.cat([t[f"{name}.cls_token"][0], t[f"{name}.reg_token"][0], x])

    def norm(weights: str, y: Tensor) -> Tensor:
        return F.layer_norm(y, y.shape[-1:], t[f"{weights}.weight"], t[f"{weights}.bias"], 1e-6)

    def scaled(block: str, place: int, y: Tensor) -> Tensor:
        names = (f"{block}.ls{place}.gamma", f"{block}.ls{place}.scale_factor")
        return next((t[name] for name in names if name in t), torch.ones(1)) * y

    for index in range(tower.layers - 1):
        block = f"{name}.blocks.{index}"
        q, k, v = linear(t, f"{block}.attn.qkv", norm(f"{block}.norm1", x)).chunk(3, 1)
        attended = attend(q, k, v, tower.heads, False)
        x = x + scaled(block, 1, linear(t, f"{block}.attn.proj", attended))
        hidden = F.gelu(linear(t, f"{block}.mlp.fc1", norm(f"{block}.norm2", x)))
        x = x + scaled(block, 2, linear(t, f"{block}.mlp.fc2", hidden))
    return x[1 + tower.registers :] if tower.registers else x


def llama(t: Tensors, name: str, x: Tensor, layers: int, heads: int, epsilon: float) -> Tensor:
    """All tokens (N, width) after the last norm."""

    def norm(weight: str, y: Tensor) -> Tensor:
        return t[weight] * y / (y.square().mean(-1, keepdim=True) + epsilon).sqrt()

    def turn(y: Tensor) -> Tensor:
        """Rotary positions, as complex numbers made of the two halves of a head."""
        half = y.shape[1] // heads // 2
        angle = torch.arange(len(y)).to(y)[:, None] * 10000.0 ** (-torch.arange(half).to(y) / half)
        parts = []
        for head in y.chunk(heads, 1):
            turned = torch.complex(head[:, :half], head[:, half:]) * torch.polar(
                torch.ones_like(angle), angle
            )
            parts += [turned.real, turned.imag]
        return torch.cat(parts, 1)

    for index in range(layers):
        layer = f"{name}.model.layers.{index}"
        y = norm(f"{layer}.input_layernorm.weight", x)
        q, k, v = (linear(t, f"{layer}.self_attn.{p}_proj", y) for p in "qkv")
        x = x + linear(t, f"{layer}.self_attn.o_proj", attend(turn(q), turn(k), v, heads, True))
        y = norm(f"{layer}.post_attention_layernorm.weight", x)
        gate = F.silu(linear(t, f"{layer}.mlp.gate_proj", y)) * linear(t, f"{layer}.mlp.up_proj", y)
        x = x + linear(t, f"{layer}.mlp.down_proj", gate)
    return norm(f"{name}.model.norm.weight", x)


def prefix(t: Tensors, image: np.ndarray, config, towers, projector, llm: str) -> Tensor:
    """Start token and projected visual tokens."""
    pixels = torch.from_numpy(image).double().permute(2, 0, 1) / 255
    patch = config.vision.patch
    both = zip(towers, (config.dino, config.siglip), strict=True)
    seen = torch.cat([vit(t, name, pixels, tower, patch) for name, tower in both], 1)
    x = F.gelu(linear(t, projector[0], seen))
    x = linear(t, projector[2], F.gelu(linear(t, projector[1], x)))
    return torch.cat([t[f"{llm}.model.embed_tokens.weight"][1:2], x])


def cogact(t: Tensors, image: np.ndarray, ids: list[int], noise: np.ndarray, config) -> Tensor:
    """Standardised actions (16, 7) by DDIM with guidance 1.5."""
    t = {name: value.double() for name, value in t.items()}
    towers = ("vision_backbone.dino_featurizer", "vision_backbone.siglip_featurizer")
    projector = [f"projector.projector.{index}" for index in (0, 2, 4)]
    x = prefix(t, image, config, towers, projector, "llm_backbone.llm")
    x = torch.cat([x, t["llm_backbone.llm.model.embed_tokens.weight"][ids]])
    language = config.language
    states = llama(t, "llm_backbone.llm", x, language.layers, language.heads, 1e-5)
    condition, net = states[-1:], "action_model.net"

    def predict(x: Tensor, step: int, z: Tensor) -> Tensor:
        frequency = torch.exp(-math.log(10000) * torch.arange(128).double() / 128)
        wave = torch.cat([(step * frequency).cos(), (step * frequency).sin()])[None]
        time = F.silu(linear(t, f"{net}.t_embedder.mlp.0", wave))
        time = linear(t, f"{net}.t_embedder.mlp.2", time)
        first = time + linear(t, f"{net}.z_embedder.linear", z)
        y = torch.cat([first, linear(t, f"{net}.x_embedder.linear", x)])
        y = y + t[f"{net}.positional_embedding"]
        norm = lambda v: F.layer_norm(v, v.shape[-1:], eps=1e-6)  # noqa: E731
        for index in range(config.head.layers):
            block = f"{net}.blocks.{index}"
            q, k, v = linear(t, f"{block}.attn.qkv", norm(y)).chunk(3, 1)
            y = y + linear(t, f"{block}.attn.proj", attend(q, k, v, config.head.heads, False))
            hidden = F.gelu(linear(t, f"{block}.mlp.fc1", norm(y)), approximate="tanh")
            y = y + linear(t, f"{block}.mlp.fc2", hidden)
        return linear(t, f"{net}.final_layer.linear", norm(y))[1:]

    bar = lambda s: math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
    betas = [min(1 - bar((i + 1) / 100) / bar(i / 100), 0.999) for i in range(100)]
    alphas = np.cumprod(1 - np.array(betas))
    x = torch.from_numpy(noise).double()
    for step in range(90, -1, -10):
        with_z = predict(x, step, condition)
        without = predict(x, step, t[f"{net}.z_embedder.uncondition"])
        noise_now = with_z.clone()
        noise_now[:7] = without[:7] + 1.5 * (with_z[:7] - without[:7])  # rows: time, not channels
        before = alphas[step - 10] if step else 1.0
        clean = (x - math.sqrt(1 - alphas[step]) * noise_now) / math.sqrt(alphas[step])
        x = math.sqrt(before) * clean + math.sqrt(1 - before) * noise_now
    return x


def openvla(t: Tensors, image: np.ndarray, ids: list[int], config) -> tuple[list[int], np.ndarray]:
    """The seven words, each from a whole forward pass, and what they mean."""
    t = {name: value.double() for name, value in t.items()}
    towers = ("vision_backbone.featurizer", "vision_backbone.fused_featurizer")
    projector = [f"projector.fc{index}" for index in (1, 2, 3)]
    begin = prefix(t, image, config, towers, projector, "language_model")
    words: list[int] = []
    language = config.language
    for _ in range(7):
        x = torch.cat([begin, t["language_model.model.embed_tokens.weight"][[*ids, *words]]])
        states = llama(t, "language_model", x, language.layers, language.heads, 1e-6)
        words.append(int(linear(t, "language_model.lm_head", states[-1:]).argmax()))
    edges = np.linspace(-1, 1, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    return words, centres[np.clip(32000 - np.array(words) - 1, 0, 254)]
