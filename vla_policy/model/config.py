"""Sizes of the network: frozen dataclasses, and the presets that fill them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vla_policy.errors import PolicyError


@dataclass(frozen=True)
class VisionConfig:
    """The SigLIP-like tower that looks at each camera by itself.

    Attributes:
        width, layers, heads, mlp_width: transformer sizes.
        patch: side of the square that becomes one token [px].
        stem: ``conv`` (strided 3x3 convolutions, arXiv 2106.14881; learns from little data) or
            ``patch`` (one linear map a patch, as in SigLIP).
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    mlp_width: int = 384
    patch: int = 16
    stem: str = "conv"


@dataclass(frozen=True)
class LanguageConfig:
    """The Llama-like decoder that reads text, state and visual tokens.

    Attributes:
        width, layers, heads, mlp_width: transformer sizes.
        vocabulary: number of token ids.
        max_text: longest instruction [tokens]; the rest is cut off.
    """

    width: int = 128
    layers: int = 6
    heads: int = 4
    mlp_width: int = 352
    vocabulary: int = 512
    max_text: int = 24


@dataclass(frozen=True)
class HeadConfig:
    """The diffusion transformer that writes the chunk.

    Attributes:
        width, layers, heads, mlp_width: transformer sizes.
        steps: DDIM steps at inference.
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    mlp_width: int = 384
    steps: int = 4


@dataclass(frozen=True)
class RouterConfig:
    """The router that scores the language layers for each observation, see model/router.py.

    Attributes:
        width: of its hidden layer.
    """

    width: int = 64


@dataclass(frozen=True)
class ModelConfig:
    """The whole network.

    Attributes:
        cameras: names of the images, in the order of their tokens.
        image_size: side of the square input images [px].
        horizon: targets in a chunk.
        step_dt: time between targets [s].
        pointers: things of the scene whose position is read off the visual tokens
            (0: target, 1: where it shall go); 0 turns grounding off.
        router: scores layers; None where the network has no router.
        layer_order: language layers, the most important first, of which the network was trained to
            do with the first few; empty if it was not.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    cameras: tuple[str, ...] = ("front", "wrist")
    image_size: int = 96
    horizon: int = 16
    step_dt: float = 0.1
    pointers: int = 2
    router: RouterConfig | None = None
    layer_order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.layer_order and sorted(self.layer_order) != list(range(self.language.layers)):
            raise PolicyError(
                "layer_order",
                got=self.layer_order,
                expected=f"every one of {self.language.layers} layers once, or none",
            )
        if self.image_size % self.vision.patch:
            raise PolicyError(
                "image_size", got=self.image_size, expected=f"a multiple of {self.vision.patch}"
            )

    @property
    def tokens_per_camera(self) -> int:
        """Visual tokens that one image becomes."""
        return (self.image_size // self.vision.patch) ** 2

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of all cameras."""
        return self.tokens_per_camera * len(self.cameras)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for config.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Read what :meth:`to_dict` wrote.

        Raises:
            PolicyError: a key is unknown.
        """
        rooms = {
            "vision": VisionConfig,
            "language": LanguageConfig,
            "head": HeadConfig,
            "router": RouterConfig,
        }
        arguments: dict[str, Any] = {}
        for key, value in values.items():
            if key in rooms and value is not None:
                arguments[key] = _build(rooms[key], value, key)
            else:
                arguments[key] = tuple(value) if isinstance(value, list) else value
        return _build(cls, arguments, "model config")


def _build(kind: type, values: dict[str, Any], what: str) -> Any:
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if unknown := set(values) - known:
        raise PolicyError(what, got=f"unknown keys {sorted(unknown)}", expected=sorted(known))
    return kind(**values)


PRESETS: dict[str, ModelConfig] = {
    # For tests: everything there, nothing learned, milliseconds on one core.
    "test": ModelConfig(
        vision=VisionConfig(width=32, layers=1, heads=2, mlp_width=64),
        language=LanguageConfig(width=32, layers=3, heads=2, mlp_width=64),
        head=HeadConfig(width=32, layers=2, heads=2, mlp_width=64, steps=3),
        image_size=32,
    ),
    # Trains on two CPU cores in about an hour, under 60 ms a chunk there.
    "tiny": ModelConfig(),
    # Half as many language layers: a control, of how little the tasks need.
    "shallow": ModelConfig(language=LanguageConfig(layers=3)),
    # Twice as many language layers: the shares of CogACT's stages, and layers to spare.
    "deep": ModelConfig(language=LanguageConfig(layers=12)),
    # The 7 B shape of CogACT-Base: one camera, 256 visual tokens, Llama-2-7B, DiT-Base.
    # Its DINOv2 + SigLIP pair (802 M) is one SigLIP-like tower of about that size here.
    "cogact_base": ModelConfig(
        vision=VisionConfig(
            width=1408, layers=33, heads=16, mlp_width=5632, patch=14, stem="patch"
        ),
        language=LanguageConfig(
            width=4096, layers=32, heads=32, mlp_width=11008, vocabulary=32064, max_text=64
        ),
        head=HeadConfig(width=768, layers=12, heads=12, mlp_width=3072, steps=10),
        cameras=("front",),
        image_size=224,
        pointers=0,
    ),
}


def preset(name: str) -> ModelConfig:
    """Look a preset up by its name.

    Raises:
        PolicyError: no preset has that name.
    """
    if name not in PRESETS:
        raise PolicyError("preset", got=name, expected=f"one of {sorted(PRESETS)}")
    return PRESETS[name]
