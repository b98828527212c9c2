"""Stage 1: graph and probes learn to read the frozen teacher.

ActDistill, arXiv 2511.18082: the mean over the layers of the probes' errors to ground truth.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from vla_distill.actdistill.config import StudentConfig
from vla_distill.actdistill.losses import probe_error
from vla_distill.actdistill.reader import LayerReader
from vla_distill.actdistill.states import Trace
from vla_distill.training.objective import augment
from vla_distill.training.samples import Batch
from vla_distill.training.trainer import Trainer
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.model.config import ModelConfig
from vla_policy.model.network import VlaNetwork
from vla_policy.model.plan import FullCompute
from vla_policy.model.policy import VlaPolicy

READER = "reader.safetensors"


def plain_network(teacher: VlaPolicy | None, config: StudentConfig) -> VlaNetwork:
    """The network of a teacher that runs in full.

    Raises:
        PolicyError: it follows a recipe, or has a router.
    """
    assert teacher is not None, "the teacher"
    recipe = getattr(teacher.plan, "recipe", Recipe())
    if recipe.methods or teacher.config.router is not None:
        raise PolicyError(
            f"teacher {config.teacher}",
            got=f"one that follows the recipe {recipe.name}",
            expected="a plain one",
        )
    return teacher.network


@torch.no_grad()
def teacher_states(teacher: VlaNetwork, batch: Batch, images: Tensor) -> tuple[list[Tensor], Trace]:
    """The plain teacher's states after each layer, (B, N, width) each, and their trace."""
    trace = Trace(FullCompute())
    visual = teacher.see(images)
    condition = teacher.think(visual, batch.text, batch.text_mask, batch.state, trace)  # type: ignore[arg-type]
    return trace.states(condition.language), trace


class ReaderObjective(nn.Module):
    """The reader with its loss.

    Pictures are changed as the student's will be, so that the reader is at home there.

    Args:
        teacher: frozen.
        reader: what is trained.
        config: of stage 1.
    """

    def __init__(self, teacher: VlaNetwork, reader: LayerReader, config: StudentConfig) -> None:
        super().__init__()
        # In a tuple it is no part of this module: neither trained, nor averaged, nor saved.
        self._teacher = (teacher.eval().requires_grad_(False),)
        self.reader = reader
        self.config = config

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """``loss``, and the errors of the probes of the ``first`` and the ``last`` layer."""
        images = batch.images
        if self.training:
            images = augment(images, self.config, generator)
        states, trace = teacher_states(self._teacher[0], batch, images)
        _, actions = self.reader(states, trace.present)
        errors = probe_error(actions, batch.actions, batch.foretold)
        return {"loss": errors.mean(), "first": errors[0], "last": errors[-1]}


class ReaderTrainer(Trainer):
    """The run of stage 1; its folder holds ``reader.safetensors`` in the place of a policy.

    Args:
        config: as :meth:`StudentConfig.stage_one` gives it.
        frames: the demonstrations.

    Raises:
        PolicyError: the teacher follows a recipe, or has a router.
        DistillError: what Trainer says.
    """

    curves = ("loss", "first", "last")
    config: StudentConfig

    def _network(self, start: VlaPolicy | None) -> VlaNetwork:
        return plain_network(start, self.config)

    def _objective(self, network: VlaNetwork, scenes: bool) -> nn.Module:
        reader = LayerReader(network.config, self.config)
        return ReaderObjective(network.to(self.accelerator.device), reader, self.config)

    def _write(self) -> None:
        cast(ReaderObjective, self.average.module).reader.save(self.folder / READER)


def load_reader(folder: Path, model: ModelConfig, config: StudentConfig) -> LayerReader:
    """What stage 1 left in its folder, frozen."""
    return LayerReader.load(folder / READER, model, config)
