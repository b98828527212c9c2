"""Tensors of a released checkpoint, by name, into a module. Nothing else is unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vla_policy.errors import PolicyError

Shapes = Mapping[str, tuple[int, ...]]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .pt file.

    Groups inside a .pt become prefixes: ``{"model": {"projector": {...}}}`` gives names that begin
    with ``projector.``.

    Raises:
        PolicyError: the file is broken, or holds something else than groups of tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PolicyError(str(path), got=reason, expected="a file of tensors") from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    return _flat(content, "", path)


def _flat(content: Any, prefix: str, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise PolicyError(f"{path}: {prefix}", got=type(content).__name__, expected="tensors")
    found: dict[str, Tensor] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        found |= {name: value} if isinstance(value, Tensor) else _flat(value, f"{name}.", path)
    return found


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    unused: Shapes,
    where: str,
) -> None:
    """Put tensors in the place of a module's parameters.

    Args:
        module: to be filled; may be on the meta device.
        tensors: by their names in the file.
        names: of each parameter of the module, the name in the file.
        unused: shapes of what is in the file and never used, by name.
        where: what to call the file.

    Raises:
        PolicyError: a tensor is missing, one too many, or of another shape; names it.
    """
    own = module.state_dict()
    wanted = {names[key]: tuple(value.shape) for key, value in own.items()} | dict(unused)
    if missing := sorted(set(wanted) - set(tensors)):
        raise PolicyError(f"{where}: tensors", got=f"no {_some(missing)}", expected="all of them")
    if extra := sorted(set(tensors) - set(wanted)):
        raise PolicyError(f"{where}: tensors", got=_some(extra), expected="none of that name")
    for name, shape in wanted.items():
        if tuple(tensors[name].shape) != shape:
            raise PolicyError(f"{where}: {name}", got=tuple(tensors[name].shape), expected=shape)
    module.load_state_dict({key: tensors[names[key]] for key in own}, assign=True)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
