"""What a guide says of samples: the gradient of each one's loss, and its features.

FT-NCFM writes gradients of all weights; here they are of the head's last block, norm and output
(0.17 M of 3 M weights in ``tiny``), because all of them times every sample would neither fit nor
add much: influence on the last layers ranks samples alike and is the usual bound (TRAK, DataInf).
Noise and denoising times of a sample follow from its row and the seed, so that a score does not
depend on the block that it is computed in, nor on who computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from vla_distill.dataset import FrameStore
from vla_distill.training.samples import Batch, Samples
from vla_policy.checkpoint import load_policy
from vla_policy.model import diffusion
from vla_policy.model.head import ActionHead
from vla_policy.model.plan import FullCompute
from vla_policy.model.policy import VlaPolicy, normalise_pixels
from vla_policy.robot import see_robot

DRAWS = 4
"""Denoising times of a sample, spread over [0, 1]."""

Weights = Mapping[str, Tensor]
"""Gradient or direction: weight name -> values; (B, ...) where of several samples."""


class Tail(nn.Module):
    """The weights that gradients are taken of."""

    def __init__(self, head: ActionHead) -> None:
        super().__init__()
        self.block, self.norm, self.out = head.blocks[-1], head.norm, head.out
        self.horizon = head.config.horizon

    def forward(self, x: Tensor) -> Tensor:
        """Input of the last block (K, n, width) to velocity (K, T, actions)."""
        x, _ = self.block(x, None)
        return self.out(self.norm(x[:, -self.horizon :]))


@dataclass(frozen=True)
class Prepared:
    """Samples as the tail sees them.

    Attributes:
        inputs: of the last block. Shape (B, DRAWS, n, width).
        velocity: to be predicted. Shape (B, DRAWS, T, actions).
        foretold: targets that count. Shape (B, T, 1).
        features: of each sample, see :meth:`Guide.features`. Shape (B, F).
    """

    inputs: Tensor
    velocity: Tensor
    foretold: Tensor
    features: Tensor

    def where(self, good: Tensor) -> Prepared:
        """Some of the samples. ``good``: Shape (B,), bool."""
        return Prepared(*(getattr(self, name)[good] for name in self.__dataclass_fields__))


class Guide:
    """A policy that judges samples of a dataset.

    Args:
        policy: in eval mode.
        frames: the dataset.
        seed: of the noise.
    """

    def __init__(self, policy: VlaPolicy, frames: FrameStore, seed: int = 0) -> None:
        self.policy, self.seed = policy, seed
        self.network = policy.network.requires_grad_(False)
        self.samples = Samples(frames, policy.horizon, 0.0, seed)
        self.tail = Tail(policy.network.head)

    @classmethod
    def load(cls, folder: object, frames: FrameStore, seed: int = 0) -> Guide:
        """Of a policy's folder.

        Raises:
            PolicyError: there is none, or it is another robot's.
        """
        policy = load_policy(str(folder))
        see_robot(policy, frames.robot)
        return cls(policy, frames, seed)

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Of the tail."""
        return {name: value.detach() for name, value in self.tail.named_parameters()}

    def batch(self, rows: NDArray[np.int64], images: NDArray[np.uint8] | None = None) -> Batch:
        """Samples as training sees them, with other images (B, cameras, H, W, 3) if given."""
        policy = self.policy
        limit = policy.config.language.max_text
        batch = self.samples.batch(rows, policy.tokenizer, policy.statistics, limit)
        if images is not None:
            batch = replace(batch, images=normalise_pixels(torch.from_numpy(images)))
        return batch

    def features(self, batch: Batch) -> Tensor:
        """h = Phi(V, L, A), FT-NCFM Eq. 1: all that the head is told, and the chunk. Shape (B, F).

        Each half has length 1 (NCFM normalises its features), so vision and language weigh as
        much as the action. Can be differentiated to images and actions.
        """
        return _joined(self.condition(batch), batch.actions)

    @torch.no_grad()
    def prepare(self, rows: NDArray[np.int64], images: NDArray[np.uint8] | None = None) -> Prepared:
        """Everything up to the tail, which no gradient passes."""
        batch = self.batch(rows, images)
        condition = self.condition(batch)
        noise, times = self._noise(rows, batch.actions.shape[1:])
        actions = batch.actions.repeat_interleave(DRAWS, 0)
        noisy, velocity = diffusion.mix(actions, noise, times)
        seen: list[Tensor] = []
        handle = self.tail.block.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        self.network.head(noisy, times, condition.repeat_interleave(DRAWS, 0))
        handle.remove()
        shape = (len(rows), DRAWS)
        return Prepared(
            seen[0].unflatten(0, shape),
            velocity.unflatten(0, shape),
            batch.foretold,
            _joined(condition, batch.actions),
        )

    def gradients(self, prepared: Prepared) -> dict[str, Tensor]:
        """Of each sample's loss by the tail's weights. Shapes (B, ...)."""
        by_sample = vmap(grad(self.loss), in_dims=(None, 0, 0, 0))
        return by_sample(self.weights, prepared.inputs, prepared.velocity, prepared.foretold)

    def loss(self, weights: Weights, inputs: Tensor, velocity: Tensor, foretold: Tensor) -> Tensor:
        """One sample's loss: mean squared error of the velocity, over times and targets."""
        predicted = functional_call(self.tail, dict(weights), (inputs,))
        error = ((predicted - velocity) ** 2 * foretold).sum()
        return error / (foretold.sum() * velocity.shape[0] * velocity.shape[-1])

    def mean_gradient(self, rows: NDArray[np.int64], block: int = 64) -> dict[str, Tensor]:
        """Mean over some samples, leaving out those whose gradient is not finite."""
        total = {name: torch.zeros_like(value) for name, value in self.weights.items()}
        count = 0
        for at in range(0, len(rows), block):
            each = self.gradients(self.prepare(rows[at : at + block]))
            good = is_finite(each)
            count += int(good.sum())
            for name in total:
                total[name] += each[name][good].sum(0)
        return {name: value / max(count, 1) for name, value in total.items()}

    def condition(self, batch: Batch) -> Tensor:
        """What the head is told. Shape (B, tokens, width)."""
        visual = self.network.see(batch.images)
        plan = FullCompute()
        return self.network.think(visual, batch.text, batch.text_mask, batch.state, plan).tokens

    def _noise(self, rows: NDArray[np.int64], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Noise (B * DRAWS, T, actions) and times (B * DRAWS,): functions of row and seed."""
        noise, times = [], []
        for row in rows:
            rng = np.random.default_rng([self.seed, 11, int(row)])
            noise.append(rng.standard_normal((DRAWS, *shape), np.float32))
            times.append((np.arange(DRAWS) + rng.random(DRAWS)) / DRAWS)
        return (
            torch.from_numpy(np.concatenate(noise)),
            torch.from_numpy(np.concatenate(times).astype(np.float32)),
        )


def _joined(condition: Tensor, actions: Tensor) -> Tensor:
    halves = [functional.normalize(part.flatten(1), dim=1) for part in (condition, actions)]
    return torch.cat(halves, dim=1)


def dot(each: Weights, direction: Weights) -> Tensor:
    """Inner products of gradients (B, ...) with one direction (...), or with their like. (B,)."""
    total = torch.zeros(())
    for name, values in each.items():
        total = total + (values * direction[name]).flatten(1).sum(1)
    return total


def is_finite(each: Weights) -> Tensor:
    """Which of some gradients (B, ...) are. Shape (B,), bool."""
    return torch.isfinite(dot(each, each))


def norm(direction: Weights) -> Tensor:
    """Length of a direction."""
    return torch.sqrt(sum(((v**2).sum() for v in direction.values()), torch.zeros(())))
