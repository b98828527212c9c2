"""A policy on disk: a folder of config.json, model.safetensors, statistics.json, tokenizer.json.

An accelerated policy has a recipe.json as well; without one it is plain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.model.actions import Statistics
from vla_policy.model.config import ModelConfig
from vla_policy.model.hub.policy import PrismaticPolicy
from vla_policy.model.hub.released import is_released, load_released, read_json
from vla_policy.model.network import VlaNetwork
from vla_policy.model.policy import VlaPolicy

FORMAT = 1
FILES = ("config.json", "model.safetensors", "statistics.json", "tokenizer.json")
RECIPE = "recipe.json"


def save_policy(policy: VlaPolicy, path: str | Path, card: str = "") -> Path:
    """Write a policy; weights in float16, which is exact to 3 digits and half the size.

    Args:
        policy: what to write.
        path: the folder; made if absent.
        card: README.md of the folder: command, seed, data, commit, numbers.

    Raises:
        PolicyError: the policy is another people's, whose form this is not.
    """
    if isinstance(policy, PrismaticPolicy):
        raise PolicyError(
            "policy to save", got=policy.config.kind, expected="one of our own networks"
        )
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in policy.network.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "statistics.json").write_text(json.dumps(policy.statistics.to_dict()) + "\n")
    policy.tokenizer.save(str(folder / "tokenizer.json"))
    recipe = policy.plan.recipe if isinstance(policy.plan, RecipePlan) else Recipe()
    if recipe.methods:
        (folder / RECIPE).write_text(json.dumps(recipe.to_dict(), indent=2) + "\n")
    else:
        (folder / RECIPE).unlink(missing_ok=True)  # of another policy that lay here
    if card:
        (folder / "README.md").write_text(card)
    # Last: where it is, all is.
    config = {"format": FORMAT, "model": policy.config.to_dict()}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder


def load_policy(path: str | Path, device: str = "cpu") -> VlaPolicy:
    """Read a policy: one of ours, or a released one (:mod:`vla_policy.model.hub`).

    Raises:
        PolicyError: the folder or one of its files is missing, broken or of another format; the
            message names the file. Or there is no such device.
    """
    folder = Path(path)
    _see_device(device)
    if is_released(folder):
        released = load_released(folder, device=device)
        released.plan = RecipePlan(released.config, Recipe())
        return released
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise PolicyError(
            f"checkpoint {folder}", got=f"no {', '.join(missing)}", expected=", ".join(FILES)
        )
    config = read_json(folder / "config.json")
    if config.get("format") != FORMAT:
        raise PolicyError(
            f"{folder / 'config.json'}: format", got=config.get("format"), expected=FORMAT
        )
    with _reading(folder / "config.json", "model: sizes of a network"):
        network = VlaNetwork(ModelConfig.from_dict(config["model"]))
    with _reading(folder / "model.safetensors", "the weights of config.json"):
        weights = load_file(folder / "model.safetensors")
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    with _reading(folder / "statistics.json", "statistics of the network's numbers"):
        statistics = Statistics.from_dict(read_json(folder / "statistics.json"))
    with _reading(folder / "tokenizer.json", "a tokenizer"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with _reading(folder / RECIPE, "a recipe for this network"):
        values = read_json(folder / RECIPE) if (folder / RECIPE).is_file() else {}
        plan = RecipePlan(network.config, Recipe.from_dict(values))
    return VlaPolicy(
        network,
        tokenizer,
        statistics,
        policy_hash=policy_hash(folder),
        device=device,
        plan=plan,
    )


def policy_hash(folder: Path) -> str:
    """12 hexadecimal digits over all files that decide what the policy does.

    Raises:
        PolicyError: one of them cannot be read.
    """
    digest = hashlib.sha256()
    for name in (*FILES, *([RECIPE] if (folder / RECIPE).is_file() else [])):
        with _reading(folder / name, f"a policy's {name}"):
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]


def _see_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the second: torch was built without it
        there = "cpu or cuda" if torch.cuda.is_available() else "cpu, the only one here"
        raise PolicyError("device", got=repr(device), expected=there) from error


@contextmanager
def _reading(path: Path, expected: str) -> Iterator[None]:
    """Whatever goes wrong inside is the file's fault; the tokenizer's errors have no class."""
    try:
        yield
    except Exception as error:
        got = error if isinstance(error, PolicyError) else f"{type(error).__name__}: {error}"
        raise PolicyError(str(path), got=got, expected=expected) from error
