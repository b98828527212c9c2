"""What is minimised: the head's velocity error and the pointers' position error."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_distill.training.config import TrainConfig
from vla_distill.training.probe import SceneProbe
from vla_distill.training.samples import Batch
from vla_distill.training.thinning import draw_plan
from vla_policy.model import diffusion
from vla_policy.model.network import Condition, VlaNetwork
from vla_policy.model.plan import FullCompute, Plan


class Objective(nn.Module):
    """The network with its loss, as one module that Accelerate can wrap.

    Args:
        network: what is trained.
        config: weights of the losses.
        scenes: whether batches say what is where. A probe without a loss would stall training on
            several processes, which waits for every gradient.
    """

    def __init__(self, network: VlaNetwork, config: TrainConfig, scenes: bool) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.probe = SceneProbe(network.config.language.width) if scenes else None

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            batch: samples.
            generator: of photometric change, noise and times.

        Returns:
            ``loss`` (what is minimised), ``velocity`` (mean squared error, 1 is no better than
            the mean), ``grounding_cm`` (mean distance of the target pointer; what is not known
            counts as 0 in it); in simulated scenes
            ``scene`` (what is where) and ``gaze`` (where the pointers look).
        """
        plan = FullCompute()
        if self.training and self.config.thin:
            plan = draw_plan(self.config, self.network.config, len(batch.images), generator)
        visual, condition = self.look(batch, generator, plan)
        return self.losses(batch, visual, condition, generator)

    def look(
        self, batch: Batch, generator: torch.Generator, plan: Plan
    ) -> tuple[Tensor, Condition]:
        """Visual tokens (B, V, width) and the condition, in training of changed pictures."""
        images = batch.images
        if self.training:
            images = augment(images, self.config, generator)
        visual = self.network.see(images)
        return visual, self.network.think(visual, batch.text, batch.text_mask, batch.state, plan)

    def losses(
        self, batch: Batch, visual: Tensor, condition: Condition, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """See :meth:`forward`."""
        repeats = self.config.noises
        actions = batch.actions.repeat(repeats, 1, 1)
        noise = torch.randn(actions.shape, generator=generator, device=actions.device)
        times = diffusion.draw_times(len(actions), generator, actions.device)
        noisy, velocity = diffusion.mix(actions, noise, times)
        predicted, _ = self.network.head(noisy, times, condition.tokens.repeat(repeats, 1, 1))
        # Targets after an injected error answer to it; nothing seen could have foretold them.
        weight = batch.foretold.repeat(repeats, 1, 1)
        error = ((predicted.float() - velocity) ** 2 * weight).sum()
        error = error / (weight.sum() * velocity.shape[-1])
        losses, pointers = {"loss": error, "velocity": error}, condition.positions.shape[1]
        if pointers:
            pointed = condition.positions.float()
            # Where the truth is not known, the pointers are right wherever they point.
            truth = torch.where(batch.positions.isnan(), pointed.detach(), batch.positions)
            offset = pointed - truth
            grounding = functional.smooth_l1_loss(pointed, truth, beta=0.1)
            losses["loss"] = losses["loss"] + self.config.grounding_weight * grounding
            losses["grounding_cm"] = 10.0 * offset[:, 0].norm(dim=-1).mean()
        if self.probe and batch.things is not None:
            front = self.network.config.tokens_per_camera
            losses["scene"] = self.probe(visual[:, :front], batch.things)
            losses["loss"] = losses["loss"] + self.config.scene_weight * losses["scene"]
        if self.probe and pointers and batch.gaze is not None:
            losses["gaze"] = gaze_loss(condition, batch.gaze)
            losses["loss"] = losses["loss"] + self.config.scene_weight * losses["gaze"]
        return losses


def gaze_loss(condition: Condition, gaze: Tensor) -> Tensor:
    """Cross-entropy of the pointers' attention in each camera, where the token went on.

    Args:
        condition: with scores of the tokens that were kept.
        gaze: 1 at the token that holds what is pointed at. Shape (B, pointers, cameras, tokens).
    """
    scores, kept = condition.scores.float(), condition.language.kept
    whole = scores.new_full(gaze.flatten(2).shape, -1e9)
    whole = whole.scatter(2, kept[:, None].expand_as(scores), scores)
    there = torch.zeros_like(whole[:, 0]).scatter(1, kept, 1.0)
    gaze = gaze * there.view(len(gaze), 1, *gaze.shape[2:])
    attention = whole.view(gaze.shape).log_softmax(-1)
    seen = gaze.sum(-1).sum((0, 1)).clamp(min=1.0)  # in each camera
    return -((gaze * attention).sum((0, 1, 3)) / seen).sum()


def augment(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Brightness and contrast of each image by itself; positions stay."""
    shape = (*images.shape[:2], 1, 1, 1)
    draw = torch.rand(2, *shape, generator=generator, device=images.device) * 2 - 1
    return images * (1 + config.contrast * draw[0]) + 2 * config.brightness * draw[1]
