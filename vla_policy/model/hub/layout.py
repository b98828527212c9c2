"""What the tensors of a released checkpoint are called, and which of them never run.

As written by prismatic-vlms, CogACT and OpenVLA; the vision transformers are timm's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from vla_policy.model.hub.config import COGACT, PrismaticConfig, TowerConfig
from vla_policy.model.hub.tensors import Shapes

_COGACT = (
    (r"^vision\.(dino|siglip)\.", r"vision_backbone.\1_featurizer."),
    (r"^projector\.", "projector.projector."),
    (r"^language\.embedding\.", "llm_backbone.llm.model.embed_tokens."),
    (r"^language\.", "llm_backbone.llm.model."),
    (r"^head\.z_embedder\.", "head.z_embedder.linear."),
    (r"^head\.uncondition$", "head.z_embedder.uncondition"),
    (r"^head\.out\.", "head.final_layer.linear."),
    (r"^(head\.blocks\.\d+)\.qkv\.", r"\1.attn.qkv."),
    (r"^(head\.blocks\.\d+)\.out\.", r"\1.attn.proj."),
    (r"^(head\.blocks\.\d+\.mlp)\.0\.", r"\1.fc1."),
    (r"^(head\.blocks\.\d+\.mlp)\.2\.", r"\1.fc2."),
    (r"^head\.", "action_model.net."),
)
_OPENVLA = (
    (r"^vision\.dino\.", "vision_backbone.featurizer."),
    (r"^vision\.siglip\.", "vision_backbone.fused_featurizer."),
    (r"(\.ls\d)\.gamma$", r"\1.scale_factor"),
    (r"^projector\.0\.", "projector.fc1."),
    (r"^projector\.2\.", "projector.fc2."),
    (r"^projector\.4\.", "projector.fc3."),
    (r"^language\.embedding\.", "language_model.model.embed_tokens."),
    (r"^language\.", "language_model.model."),
    (r"^head\.words\.", "language_model.lm_head."),
)
IGNORED = re.compile(r"^ema_diffusion\.|\.rotary_emb\.inv_freq$")
"""Names that some files have: a second copy of the head, and what Llama computes itself."""


def file_names(config: PrismaticConfig, own: Iterable[str]) -> dict[str, str]:
    """The name in the file for each parameter of the network."""
    rules = _COGACT if config.kind == COGACT else _OPENVLA
    names = {}
    for name in own:
        theirs = name
        for pattern, replacement in rules:
            theirs = re.sub(pattern, replacement, theirs)
        names[name] = theirs
    return names


def unused(config: PrismaticConfig) -> Shapes:
    """Shapes of what lies in the file and never runs."""
    one, width = config.kind == COGACT, config.language.width
    prefixes = (
        ("dino_featurizer", "siglip_featurizer") if one else ("featurizer", "fused_featurizer")
    )
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, tower in zip(prefixes, (config.dino, config.siglip), strict=True):
        scale = "gamma" if one else "scale_factor"
        rest = _rest_of_tower(tower, scale)
        shapes |= {f"vision_backbone.{prefix}.{name}": shape for name, shape in rest.items()}
    if one:
        action, head = config.action_size, config.head.width
        shapes["llm_backbone.llm.lm_head.weight"] = (config.language.vocabulary, width)
        shapes["action_model.net.history_embedder.linear.weight"] = (head, action)
        shapes["action_model.net.history_embedder.linear.bias"] = (head,)
    return shapes


def _rest_of_tower(tower: TowerConfig, scale: str) -> Shapes:
    """The last layer, the last norm, and the pooling of the tower that has one."""
    width, inner = tower.width, tower.mlp_width
    mlp = {"fc1.weight": (inner, width), "fc1.bias": (inner,)}
    mlp |= {"fc2.weight": (width, inner), "fc2.bias": (width,)}
    norm = {"weight": (width,), "bias": (width,)}
    square = {"weight": (width, width), "bias": (width,)}
    last = f"blocks.{tower.layers - 1}"
    parts: dict[str, Mapping[str, tuple[int, ...]]] = {
        f"{last}.norm1": norm,
        f"{last}.attn.qkv": {"weight": (3 * width, width), "bias": (3 * width,)},
        f"{last}.attn.proj": square,
        f"{last}.norm2": norm,
        f"{last}.mlp": mlp,
        "norm": norm,
    }
    if tower.scaled:
        parts |= {f"{last}.ls1": {scale: (width,)}, f"{last}.ls2": {scale: (width,)}}
    if not tower.registers:
        parts |= {
            "attn_pool.q": square,
            "attn_pool.kv": {"weight": (2 * width, width), "bias": (2 * width,)},
            "attn_pool.proj": square,
            "attn_pool.norm": norm,
            "attn_pool.mlp": mlp,
            "attn_pool": {"latent": (1, 1, width)},
        }
    return {f"{part}.{name}": shape for part, each in parts.items() for name, shape in each.items()}


def known(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without those that some files have and nobody needs."""
    return {name: value for name, value in tensors.items() if not IGNORED.search(name)}


def digest(tensors: Mapping[str, Tensor], options: str) -> str:
    """12 hexadecimal digits over names, shapes and a sample of each tensor, and the options.

    A sample, because reading 30 GB twice takes minutes.
    """
    found = hashlib.sha256(options.encode())
    for name in sorted(tensors):
        flat = tensors[name].flatten()
        sample = flat[:: max(1, len(flat) // 1024)].double().numpy()
        found.update(f"{name}{tuple(tensors[name].shape)}".encode() + sample.tobytes())
    return found.hexdigest()[:12]
