"""Read a released checkpoint: a folder as it was published, or its name on the Hugging Face hub.

CogACT: ``config.json``, ``dataset_statistics.json``, ``checkpoints/*.pt`` (or .safetensors); its
tokenizer is Llama-2's and lies elsewhere. OpenVLA: ``config.json``, ``model*.safetensors``,
``tokenizer.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from vla_policy.errors import PolicyError
from vla_policy.model.config import HeadConfig, LanguageConfig, VisionConfig
from vla_policy.model.hub import layout
from vla_policy.model.hub.actions import DeltaActions
from vla_policy.model.hub.config import COGACT, DINOV2, OPENVLA, SIGLIP, PrismaticConfig
from vla_policy.model.hub.network import PrismaticNetwork
from vla_policy.model.hub.policy import PrismaticPolicy
from vla_policy.model.hub.tensors import fill, read_tensors

TOWERS = "dinosiglip"
"""What the names of the two towers together begin with, in either configuration file."""
HEADS = {384: 4, 768: 12, 1024: 16}
"""Attention heads of DiT-S, DiT-B and DiT-L, by width."""
LLAMA = LanguageConfig(width=4096, layers=32, heads=32, mlp_width=11008, max_text=128)
OPTIONS = "lean_vla.json"
PATTERNS = ("*.json", "*.safetensors", "checkpoints/*.pt", "tokenizer*")


@dataclass(frozen=True)
class Options:
    """What a checkpoint does not say; ``lean_vla.json`` in its folder, if there.

    Attributes:
        data: data set in whose units it acts; needed if it was trained on several.
        camera: the image that it looks at.
        opening: of the gripper when it says open [m].
        step_dt: time from one action to the next [s]; of BridgeData V2 by default.
        steps: DDIM steps (CogACT).
        guidance: scale of classifier-free guidance; 1 is none (CogACT).
        tokenizer: folder or tokenizer.json of Llama-2; by default the checkpoint's folder.
        dtype: of the weights: ``float32`` or ``bfloat16``.
    """

    data: str | None = None
    camera: str = "front"
    opening: float = 0.088
    step_dt: float = 0.2
    steps: int = 10
    guidance: float = 1.5
    tokenizer: str = ""
    dtype: str = "float32"

    @classmethod
    def of_folder(cls, folder: Path) -> Options:
        """Those of ``lean_vla.json``; the defaults without one.

        Raises:
            PolicyError: it is broken, or a key is unknown.
        """
        values = read_json(folder / OPTIONS) if (folder / OPTIONS).is_file() else {}
        known = sorted(cls.__dataclass_fields__)
        if unknown := sorted(set(values) - set(known)):
            raise PolicyError(str(folder / OPTIONS), got=unknown, expected=known)
        return cls(**values)


def is_released(folder: Path) -> bool:
    """Whether a folder looks like one of CogACT or OpenVLA."""
    path = folder / "config.json"
    values = read_json(path) if path.is_file() else {}
    return "format" not in values and bool({"vla", "norm_stats"} & set(values))


def load_released(
    source: str | Path,
    options: Options | None = None,
    *,
    sizes: PrismaticConfig | None = None,
    device: str = "cpu",
) -> PrismaticPolicy:
    """Read a checkpoint.

    Args:
        source: a folder, or a name on the hub, e.g. ``CogACT/CogACT-Base`` or
            ``openvla/openvla-7b``.
        options: by default those of the folder.
        sizes: where they are not the released ones.
        device: where to compute.

    Raises:
        PolicyError: something is missing, one too many, broken or of another shape; names it.
    """
    folder = _folder(source)
    options = options or Options.of_folder(folder)
    written = read_json(folder / "config.json")
    kind = OPENVLA if "norm_stats" in written else COGACT
    named = json.dumps(written.get("vla", written))
    if TOWERS not in named:
        raise PolicyError(
            f"{folder / 'config.json'}: vision towers", got="others", expected=f"{TOWERS}..."
        )
    tensors = layout.known(_tensors(folder, kind))
    config = replace(
        sizes or _sizes(kind, written, tensors, str(folder)),
        cameras=(options.camera,),
        step_dt=options.step_dt,
        guidance=options.guidance,
    )
    if kind == COGACT:
        config = replace(config, head=replace(config.head, steps=options.steps))
    if options.dtype not in ("float32", "bfloat16"):
        raise PolicyError("dtype", got=options.dtype, expected="float32 or bfloat16")
    with torch.device("meta"):
        network = PrismaticNetwork(config)
    names = layout.file_names(config, network.state_dict())
    fill(network, tensors, names, layout.unused(config), str(folder))
    statistics = (
        written["norm_stats"] if kind == OPENVLA else read_json(folder / "dataset_statistics.json")
    )
    return PrismaticPolicy(
        network.to(getattr(torch, options.dtype)),  # type: ignore[arg-type]
        _tokenizer(folder, options),
        DeltaActions.of_data(statistics, options.data, options.opening, kind == COGACT),  # type: ignore[arg-type]
        policy_hash=layout.digest(tensors, repr(options)),
        device=device,
    )


def _folder(source: str | Path) -> Path:
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), allow_patterns=list(PATTERNS)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise PolicyError(
            f"checkpoint {source}",
            got=f"neither a folder, nor on the hub: {reason}",
            expected="one of the two",
        ) from error


def _tensors(folder: Path, kind: str) -> dict[str, Tensor]:
    if kind == COGACT:
        files = sorted(
            path
            for path in (folder / "checkpoints").glob("*")
            if path.suffix in (".pt", ".safetensors")
        )
        if len(files) != 1:
            raise PolicyError(
                f"{folder / 'checkpoints'}",
                got=[path.name for path in files],
                expected="one .pt or .safetensors",
            )
    else:
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise PolicyError(f"{folder}", got="no weights", expected="model*.safetensors")
    found: dict[str, Tensor] = {}
    for path in files:
        found |= read_tensors(path)
    return found


def _sizes(
    kind: str, written: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> PrismaticConfig:
    """The released sizes; what differs from one release to the next is read off the tensors."""
    begin = "language_model" if kind == OPENVLA else "llm_backbone.llm"
    words = _shape(tensors, f"{begin}.model.embed_tokens.weight", where)
    base = PrismaticConfig(
        kind=kind,
        vision=VisionConfig(width=DINOV2.width + SIGLIP.width, patch=14, stem="patch"),
        language=replace(LLAMA, vocabulary=words[0]),
        image_size=224,
    )
    if kind == OPENVLA:
        text = written.get("text_config") or {}
        return replace(
            base,
            head=HeadConfig(steps=1),
            horizon=1,
            norm_epsilon=text.get("rms_norm_eps", 1e-6),
            bins=written.get("n_action_bins", 256),
            padded_words=written.get("pad_to_multiple_of", 64),
        )
    places, width = _shape(tensors, "action_model.net.positional_embedding", where)
    if width not in HEADS:
        raise PolicyError(f"{where}: width of the DiT", got=width, expected=sorted(HEADS))
    layers = sum(name.endswith("attn.qkv.weight") for name in tensors if ".net.blocks." in name)
    head = HeadConfig(width=width, layers=layers, heads=HEADS[width], mlp_width=4 * width)
    return replace(base, head=head, horizon=places - 1, norm_epsilon=1e-5)


def _shape(tensors: Mapping[str, Tensor], name: str, where: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].dim() != 2:
        raise PolicyError(f"{where}: tensors", got=f"no {name}", expected="a matrix of that name")
    return tuple(tensors[name].shape)


def _tokenizer(folder: Path, options: Options) -> Tokenizer:
    path = Path(options.tokenizer) if options.tokenizer else folder
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise PolicyError(
            "tokenizer", got=f"no {path}", expected="tokenizer.json of Llama-2 (option tokenizer)"
        )
    return Tokenizer.from_file(str(path))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        PolicyError: there is no such file, or it holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolicyError(str(path), got=error, expected="a file of JSON") from error
    if not isinstance(values, dict):
        raise PolicyError(str(path), got=type(values).__name__, expected="an object")
    return values
