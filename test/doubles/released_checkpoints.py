"""Small random checkpoints in the layouts of CogACT and OpenVLA, written by hand from their names.

Independent of the reader: no name or shape here comes from ``vla_policy/model/hub/layout.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from vla_policy.model.config import HeadConfig, LanguageConfig, VisionConfig
from vla_policy.model.hub.config import PrismaticConfig, TowerConfig

WORDS = "in : what action should the robot take to pick up red cube ? out place it"
VOCABULARY = 32064
IMAGE, PATCH = 28, 14
Q01 = [-0.02, -0.03, -0.04, -0.1, -0.2, -0.3, 0.0]
Q99 = [0.03, 0.02, 0.05, 0.3, 0.1, 0.2, 1.0]
ACTION = {"q01": Q01, "q99": Q99, "mask": [True] * 6 + [False]}

DINO = TowerConfig(16, 3, 2, 24, 4, True, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIGLIP = TowerConfig(12, 4, 3, 20, 0, False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def sizes(kind: str) -> PrismaticConfig:
    return PrismaticConfig(
        kind=kind,
        dino=DINO,
        siglip=SIGLIP,
        vision=VisionConfig(width=28, patch=PATCH, stem="patch"),
        language=LanguageConfig(
            width=32, layers=4, heads=2, mlp_width=48, vocabulary=VOCABULARY, max_text=64
        ),
        head=HeadConfig(width=24, layers=2, heads=3, mlp_width=96, steps=10)
        if kind == "cogact"
        else HeadConfig(steps=1),
        horizon=16 if kind == "cogact" else 1,
        image_size=IMAGE,
        norm_epsilon=1e-5 if kind == "cogact" else 1e-6,
    )


class Maker:
    """Random tensors by name."""

    def __init__(self, seed: int = 0) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, Tensor] = {}

    def add(self, name: str, *shape: int, scale: float = 0.3, around: float = 0.0) -> None:
        self.tensors[name] = around + scale * torch.randn(shape, generator=self.random)

    def linear(self, name: str, out: int, into: int) -> None:
        self.add(f"{name}.weight", out, into, scale=into**-0.5)
        self.add(f"{name}.bias", out, scale=0.1)

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", width, scale=0.1, around=1.0)
        self.add(f"{name}.bias", width, scale=0.1)

    def tower(self, name: str, tower: TowerConfig, scale: str) -> None:
        """timm's VisionTransformer."""
        width, patches = tower.width, (IMAGE // PATCH) ** 2
        if tower.registers:
            self.add(f"{name}.cls_token", 1, 1, width)
            self.add(f"{name}.reg_token", 1, tower.registers, width)
        self.add(f"{name}.pos_embed", 1, patches, width)
        self.add(f"{name}.patch_embed.proj.weight", width, 3, PATCH, PATCH, scale=0.05)
        self.add(f"{name}.patch_embed.proj.bias", width)
        for index in range(tower.layers):
            block = f"{name}.blocks.{index}"
            self.norm(f"{block}.norm1", width)
            self.linear(f"{block}.attn.qkv", 3 * width, width)
            self.linear(f"{block}.attn.proj", width, width)
            self.norm(f"{block}.norm2", width)
            self.linear(f"{block}.mlp.fc1", tower.mlp_width, width)
            self.linear(f"{block}.mlp.fc2", width, tower.mlp_width)
            if tower.scaled:
                self.add(f"{block}.ls1.{scale}", width)
                self.add(f"{block}.ls2.{scale}", width)
        self.norm(f"{name}.norm", width)
        if not tower.registers:  # SigLIP pools by attention
            self.add(f"{name}.attn_pool.latent", 1, 1, width)
            self.linear(f"{name}.attn_pool.q", width, width)
            self.linear(f"{name}.attn_pool.kv", 2 * width, width)
            self.linear(f"{name}.attn_pool.proj", width, width)
            self.norm(f"{name}.attn_pool.norm", width)
            self.linear(f"{name}.attn_pool.mlp.fc1", tower.mlp_width, width)
            self.linear(f"{name}.attn_pool.mlp.fc2", width, tower.mlp_width)

    def llama(self, name: str, language: LanguageConfig) -> None:
        """transformers' LlamaForCausalLM."""
        width, inner = language.width, language.mlp_width
        self.add(f"{name}.model.embed_tokens.weight", language.vocabulary, width)
        for index in range(language.layers):
            layer = f"{name}.model.layers.{index}"
            for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
                self.add(f"{layer}.self_attn.{part}.weight", width, width, scale=width**-0.5)
            for part in ("gate_proj", "up_proj"):
                self.add(f"{layer}.mlp.{part}.weight", inner, width, scale=width**-0.5)
            self.add(f"{layer}.mlp.down_proj.weight", width, inner, scale=inner**-0.5)
            self.add(f"{layer}.input_layernorm.weight", width, scale=0.1, around=1.0)
            self.add(f"{layer}.post_attention_layernorm.weight", width, scale=0.1, around=1.0)
        self.add(f"{name}.model.norm.weight", width, scale=0.1, around=1.0)
        self.add(f"{name}.lm_head.weight", language.vocabulary, width)

    def projector(self, names: tuple[str, str, str], seen: int, width: int) -> None:
        self.linear(names[0], 4 * seen, seen)
        self.linear(names[1], width, 4 * seen)
        self.linear(names[2], width, width)

    def dit(self, name: str, config: PrismaticConfig) -> None:
        """CogACT's DiT; its norms have no weights."""
        width, token = config.head.width, config.language.width
        self.linear(f"{name}.history_embedder.linear", width, 7)
        self.linear(f"{name}.x_embedder.linear", width, 7)
        self.linear(f"{name}.t_embedder.mlp.0", width, 256)
        self.linear(f"{name}.t_embedder.mlp.2", width, width)
        self.linear(f"{name}.z_embedder.linear", width, token)
        self.add(f"{name}.z_embedder.uncondition", 1, token)
        self.add(f"{name}.positional_embedding", config.horizon + 1, width)
        for index in range(config.head.layers):
            block = f"{name}.blocks.{index}"
            self.linear(f"{block}.attn.qkv", 3 * width, width)
            self.linear(f"{block}.attn.proj", width, width)
            self.linear(f"{block}.mlp.fc1", 4 * width, width)
            self.linear(f"{block}.mlp.fc2", width, 4 * width)
        self.linear(f"{name}.final_layer.linear", 7, width)


def make(kind: str) -> dict[str, Tensor]:
    """Tensors of a checkpoint; CogACT's in groups that are joined by the first dot."""
    config, maker = sizes(kind), Maker()
    seen = DINO.width + SIGLIP.width
    if kind == "cogact":
        maker.tower("vision_backbone.dino_featurizer", DINO, "gamma")
        maker.tower("vision_backbone.siglip_featurizer", SIGLIP, "gamma")
        names = tuple(f"projector.projector.{index}" for index in (0, 2, 4))
        maker.projector(names, seen, config.language.width)  # type: ignore[arg-type]
        maker.llama("llm_backbone.llm", config.language)
        maker.dit("action_model.net", config)
    else:
        maker.tower("vision_backbone.featurizer", DINO, "scale_factor")
        maker.tower("vision_backbone.fused_featurizer", SIGLIP, "scale_factor")
        maker.projector(
            ("projector.fc1", "projector.fc2", "projector.fc3"), seen, config.language.width
        )
        maker.llama("language_model", config.language)
    return maker.tensors


def write(folder: Path, kind: str, tensors: dict[str, Tensor]) -> Path:
    """Write the files of a release."""
    folder.mkdir(parents=True, exist_ok=True)
    statistics = {"bridge_orig": {"action": ACTION}}
    if kind == "cogact":
        groups: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = value
        (folder / "checkpoints").mkdir(exist_ok=True)
        torch.save({"model": groups}, folder / "checkpoints" / "CogACT-Base.pt")
        vla = {
            "type": "prism-dinosiglip-224px+oxe+diffusion",
            "base_vlm": "prism-dinosiglip-224px+7b",
        }
        (folder / "config.json").write_text(json.dumps({"vla": vla}))
        (folder / "dataset_statistics.json").write_text(json.dumps(statistics))
    else:
        names = sorted(tensors)
        halves = names[::2], names[1::2]
        for number, half in enumerate(halves, 1):
            part = {name: tensors[name].contiguous() for name in half}
            save_file(part, folder / f"model-0000{number}-of-00002.safetensors")
        config = {
            "model_type": "openvla",
            "vision_backbone_id": "dinosiglip-vit-so-224px",
            "norm_stats": statistics,
            "n_action_bins": 256,
            "pad_to_multiple_of": 64,
            "text_config": {"model_type": "llama", "vocab_size": VOCABULARY},
        }
        (folder / "config.json").write_text(json.dumps(config))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def tokenizer() -> Tokenizer:
    """Words after Llama's special tokens; begins every text with <s>."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocabulary |= {word: 3 + place for place, word in enumerate(WORDS.split())}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return made
