"""What a training run is made of; read from YAML."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from vla_distill.errors import DistillError

PRECISIONS = ("auto", "bf16", "no")
OPTIMIZERS = ("adamw", "muon")
Config = TypeVar("Config", bound="TrainConfig")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        data: dataset folders (LeRobot v3, as ``vla collect`` writes them), or just one.
        tasks: names of those of the data's tasks that are learned; all if empty.
        out: folder of the run: log, curve, state to resume from, and the policy.
        preset: sizes of the network, see vla_policy.model.config.PRESETS.
        seed: of the weights, the batches and the noise.
        steps: optimiser steps.
        batch: samples a step, over all processes.
        learning_rate: after warm-up, until the decay.
        warmup: steps of linear warm-up.
        decay: share of the steps, at the end, in which the rate falls linearly to zero.
        optimizer: ``adamw``, or ``muon`` for hidden matrices and AdamW for all other weights.
        weight_decay: on matrices.
        gradient_clip: largest gradient norm.
        ema: decay of the averaged weights, which are the ones that are saved.
        noises: denoising times drawn for each sample (CogACT's repeated diffusion steps).
        grounding_weight: of the pointers' loss.
        scene_weight: of the losses on what is where, known in simulated scenes; 0 for others.
        brightness, contrast: widest photometric change of an image, each way.
        held_out: share of the episodes kept for the validation loss.
        precision: ``bf16``, ``no`` (float32), or ``auto``: bf16 where the processor multiplies it,
            as without that it is ten times slower than float32.
        thin: share of the batches that run with fewer layers and visual tokens, so that the policy
            bears to be cut afterwards, see vla_distill.training.thinning; 0 for none.
        thin_layers: probability that a layer is left out, for a sample of such a batch.
        thin_order: all language layers, the most important first (for instance the ranking that
            ``action_importance`` leaves in recipe.json, backwards): the first few of them run in
            such a batch, instead of ``thin_layers``.
        thin_least: how few, at least; from there up to all but one are drawn, few more often.
        thin_tokens: least share of the visual tokens that go on in such a batch, from where the
            share is drawn log-uniformly up to 1; 1 for all.
        thin_whole: share of such batches in which all visual tokens go on nevertheless.
        init: folder of a policy to start from: its weights, words and statistics; empty for none.
        log_every, save_every: steps.
        keep_policies: keep the policy of every save, as ``policy_STEP``.
        threads: CPU threads of torch; 0 leaves torch's choice.
    """

    data: list[str] | str
    out: str
    tasks: list[str] = field(default_factory=list)
    preset: str = "tiny"
    seed: int = 0
    steps: int = 10_000
    batch: int = 32
    learning_rate: float = 1e-3
    warmup: int = 300
    decay: float = 0.5
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema: float = 0.998
    noises: int = 2
    grounding_weight: float = 1.0
    scene_weight: float = 1.0
    brightness: float = 0.1
    contrast: float = 0.1
    held_out: float = 0.02
    precision: str = "auto"
    thin: float = 0.0
    thin_layers: float = 0.25
    thin_order: list[int] = field(default_factory=list)
    thin_least: int = 1
    thin_tokens: float = 0.25
    thin_whole: float = 0.0
    init: str = ""
    log_every: int = 50
    save_every: int = 500
    keep_policies: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", [self.data] if isinstance(self.data, str) else self.data)
        if not self.data:
            raise DistillError("data", got="nothing", expected="at least one dataset folder")
        self._hold(
            "at least 1", lambda v: v >= 1, "steps", "batch", "noises", "log_every", "save_every"
        )
        self._hold("0 to 2**32 - 1", lambda v: 0 <= v < 2**32, "seed")
        self._hold(
            "0 or more", lambda v: 0 <= v < math.inf, "warmup", "weight_decay", "grounding_weight",
            "scene_weight", "brightness", "contrast", "threads",
        )  # fmt: skip
        self._hold("above 0", lambda v: 0 < v < math.inf, "learning_rate", "gradient_clip")
        self._hold("from 0, below 1", lambda v: 0 <= v < 1, "ema", "held_out")
        self._hold(
            "a share from 0 to 1", lambda v: 0 <= v <= 1, "decay", "thin", "thin_layers",
            "thin_tokens", "thin_whole",
        )  # fmt: skip
        if not self.thin_tokens:
            raise DistillError("thin_tokens", got=0, expected="a share above 0")
        if self.thin_order and not self.thin:
            raise DistillError("thin", got=0, expected="a share above 0, as there is a thin_order")
        if not 1 <= self.thin_least <= max(len(self.thin_order), 1):
            raise DistillError(
                "thin_least", got=self.thin_least, expected="from 1 to the layers of thin_order"
            )
        for name, known in (("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in known:
                raise DistillError(name, got=getattr(self, name), expected=f"one of {known}")

    def _hold(self, expected: str, right: Callable[[float], bool], *names: str) -> None:
        """Refuse those of the numbers that are not right."""
        for name in names:
            if not right(value := getattr(self, name)):
                raise DistillError(name, got=value, expected=expected)

    def shortened(self, steps: int, **changes: Any) -> TrainConfig:
        """A run of so many steps with warm-up and averaging that fit in it."""
        warmup = min(self.warmup, steps // 4)
        ema = min(self.ema, max(1.0 - 5.0 / steps, 0.0))
        return replace(self, steps=steps, warmup=warmup, ema=ema, **changes)

    def learning_rate_at(self, step: int) -> float:
        """Warm-up, plateau, linear decay to zero."""
        rising = (step + 1) / max(self.warmup, 1)
        falling = (self.steps - step) / max(self.decay * self.steps, 1)
        return self.learning_rate * min(1.0, rising, falling)

    @classmethod
    def read(cls: type[Config], path: str | Path, **changes: Any) -> Config:
        """Read a YAML file; ``changes`` that are not None win, and an empty value is the default.

        Raises:
            DistillError: the file is missing, is no YAML or not a mapping, has an unknown key,
                lacks one, or has a value of another type or out of range.
        """
        if not Path(path).is_file():
            raise DistillError("--config", got=f"no file {path}", expected="a YAML file")
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DistillError(str(path), got=error, expected="a YAML file") from error
        known = sorted(cls.__dataclass_fields__)
        if not isinstance(values, dict) or not set(values) <= set(known):
            unknown = sorted(set(values) - set(known)) if isinstance(values, dict) else values
            raise DistillError(str(path), got=f"unknown {unknown}", expected=f"keys of {known}")
        values = {key: value for key, value in values.items() if value is not None}
        kinds = get_type_hints(cls)
        for key, value in values.items():
            try:
                values[key] = _typed(value, kinds[key])
            except ValueError as error:
                expected = cls.__dataclass_fields__[key].type
                raise DistillError(f"{path}: {key}", got=repr(value), expected=expected) from error
        values.update({key: value for key, value in changes.items() if value is not None})
        needed = {f.name for f in fields(cls) if f.default is f.default_factory is MISSING}
        if lacking := ", ".join(sorted(needed - set(values))):
            raise DistillError(str(path), got=f"no {lacking}", expected="a value for each")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def _typed(value: Any, kind: Any) -> Any:
    """A value as YAML gives it, where 1e-3 is a string, as one of a field's type.

    Raises:
        ValueError: it is none.
    """
    if isinstance(kind, UnionType):
        for each in get_args(kind):
            with suppress(ValueError):
                return _typed(value, each)
    elif get_origin(kind) is list and isinstance(value, list):
        return [_typed(each, *get_args(kind)) for each in value]
    elif type(value) is kind:
        return value
    elif kind in (int, float) and type(value) in (int, float, str):
        number = float(value)
        if kind is float or number.is_integer():
            return kind(number)
    raise ValueError
