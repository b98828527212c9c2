"""Policies that are denied something, to see what it is worth to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vla_distill.errors import DistillError
from vla_policy.contract import ActionChunk, Memory, Observation, Policy
from vla_policy.model.plan import FullCompute

GREY = 128
"""Value of every pixel of a blanked image."""


class Blindfold:
    """A policy that sees one camera's images as plain grey.

    Args:
        policy: the policy.
        camera: name of the camera.

    Raises:
        DistillError: the policy has no such camera.
    """

    def __init__(self, policy: Policy, camera: str) -> None:
        if camera not in policy.cameras:
            raise DistillError("camera to blank", got=camera, expected=list(policy.cameras))
        self._policy, self._camera = policy, camera
        self.cameras, self.image_size = policy.cameras, policy.image_size
        self.step_dt, self.horizon = policy.step_dt, policy.horizon
        self.continues_chunks = getattr(policy, "continues_chunks", False)
        self.policy_hash = f"{policy.policy_hash}-without-{camera}"

    def start(self, seed: int) -> Memory:
        """Begin an episode."""
        return self._policy.start(seed)

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        """See :meth:`vla_policy.contract.Policy.infer`."""
        return self._policy.infer([self._blanked(each) for each in observations], memories)

    def _blanked(self, observation: Observation) -> Observation:
        grey = np.full_like(observation.images[self._camera], GREY)
        return replace(observation, images={**observation.images, self._camera: grey})


class SomeLayers(FullCompute):
    """Only some of the language layers run, with no training to make up for it.

    Args:
        layers: which.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self._layers = frozenset(layers)

    def runs_layer(self, layer: int, tokens: object) -> bool:
        """Whether it is one of them."""
        return layer in self._layers


def random_half(layers: int, draw: int) -> tuple[int, ...]:
    """Half of the layers, rounded down, ascending; another half for each ``draw``."""
    chosen = np.random.default_rng(draw).permutation(layers)[: layers // 2]
    return tuple(sorted(int(layer) for layer in chosen))
