"""Encapsulation and probes together: reads what the layers of a stack mean for the action."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vla_distill.actdistill.config import StudentConfig
from vla_distill.actdistill.graph import GraphEncapsulation
from vla_distill.actdistill.probes import ActionProbes
from vla_distill.errors import DistillError
from vla_policy.model.actions import ACTION_SIZE
from vla_policy.model.config import ModelConfig


class LayerReader(nn.Module):
    """Trained on the teacher in stage 1, then frozen: it reads teacher and student alike.

    One that was trained along with the student could please the losses by reading the same out of
    anything.
    """

    def __init__(self, model: ModelConfig, config: StudentConfig) -> None:
        super().__init__()
        layers = model.language.layers
        self.graph = GraphEncapsulation(
            model.language.width,
            layers,
            graph_width=config.graph_width,
            graph_layers=config.graph_layers,
            heads=config.graph_heads,
            edges=config.graph_edges,
            semantics=config.semantics,
        )
        self.probes = ActionProbes(config.semantics, layers, model.horizon, ACTION_SIZE)

    def forward(self, states: Sequence[Tensor], present: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Read.

        Args:
            states: after each layer. Shapes (B, N, width).
            present: False where a row of these is padded. Shapes (B, N), bool.

        Returns:
            Semantic vectors (B, layers, semantics) and chunks (B, layers, T, 10), standardised,
            both in float32.
        """
        read: list[Tensor] = []
        # Layers over as many tokens are read together: a GPU waits for small steps.
        for _, group in itertools.groupby(range(len(states)), lambda at: states[at].shape[1]):
            layers = list(group)
            depth = torch.tensor(layers).repeat_interleave(len(states[0]))
            together = self.graph(
                torch.cat([states[at] for at in layers]),
                torch.cat([present[at] for at in layers]),
                depth.to(states[0].device),
            )
            read += together.chunk(len(layers))
        semantics = torch.stack(read, dim=1)
        return semantics.float(), self.probes(semantics).float()

    def save(self, path: Path) -> None:
        """Write the weights, in float32."""
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, path)

    @classmethod
    def load(cls, path: Path, model: ModelConfig, config: StudentConfig) -> LayerReader:
        """Read what :meth:`save` wrote, frozen.

        Raises:
            DistillError: no such file, or it does not fit the sizes.
        """
        reader = cls(model, config)
        try:
            reader.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            expected = "what stage 1 wrote with these sizes"
            raise DistillError(str(path), got=error, expected=expected) from error
        return reader.eval().requires_grad_(False)
