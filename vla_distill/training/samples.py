"""Training samples: frames of a dataset with the chunk of actions that followed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from vla_distill.dataset import FrameStore
from vla_distill.training.scenes import Scenes
from vla_policy.errors import PolicyError
from vla_policy.model.actions import Statistics
from vla_policy.model.grounding import POSITION_UNIT
from vla_policy.model.policy import normalise_pixels
from vla_policy.model.tokenizer import tokenize

B = TypeVar("B", bound="Batch")


@dataclass(frozen=True)
class Batch:
    """What one optimiser step sees.

    Attributes:
        images: Shape (B, cameras, 3, H, W), in [-1, 1].
        text, text_mask: token ids and where they are. Shape (B, L).
        state: standardised features. Shape (B, 11).
        actions: standardised relative chunk. Shape (B, T, 10).
        foretold: 1 for the targets that follow from what was seen. Shape (B, T, 1).
        positions: target and goal relative to the end effector, in 0.1 m; NaN where nobody knows
            them, as in real demonstrations. Shape (B, 2, 3).
        things: present, x, y [m] of everything there can be. Shape (B, things, 3); None where
            unknown.
        gaze: target and goal among each camera's tokens. Shape (B, 2, cameras, tokens), or None.
    """

    images: Tensor
    text: Tensor
    text_mask: Tensor
    state: Tensor
    actions: Tensor
    foretold: Tensor
    positions: Tensor
    things: Tensor | None = None
    gaze: Tensor | None = None

    def to(self: B, device: torch.device) -> B:
        """The same on another device."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return replace(self, **{k: v.to(device) for k, v in fields.items() if v is not None})


Split = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Frames to train on, and frames held out."""


class Samples:
    """Frames of some tasks, split by episode into training and held out (or as given), as batches.

    Beyond an episode's end a chunk repeats its last action: the expert holds still there.
    """

    def __init__(
        self,
        frames: FrameStore,
        horizon: int,
        held_out: float,
        seed: int,
        scenes: Scenes | None = None,
        split: Split | None = None,
        tasks: Sequence[str] = (),
    ) -> None:
        self.frames = frames
        self.scenes = scenes
        self.horizon = horizon
        episode = frames.episode_index
        if unknown := sorted(set(tasks) - set(frames.tasks)):
            raise PolicyError("tasks", got=unknown, expected=sorted(set(frames.tasks)))
        learned = np.isin(np.array(frames.tasks), tasks or frames.tasks)[episode]
        episodes = np.unique(episode[learned])
        count = round(held_out * len(episodes))
        chosen = np.random.default_rng([seed, 1]).permutation(episodes)[:count]
        is_held_out = np.isin(episode, chosen)
        drawn = np.flatnonzero(learned & ~is_held_out), np.flatnonzero(is_held_out)
        self.training, self.held_out = drawn if split is None else split
        if not len(self.training):
            there = f"{held_out}, all of {len(episodes)} episodes"
            raise PolicyError("held_out", got=there, expected="a share that leaves one to train on")
        self._share: NDArray[np.float64] | None = None  # all the same
        if frames.chosen is not None:
            weight = frames.chosen.weight[self.training].astype(np.float64)
            self._share = weight / weight.sum()

    def statistics(self) -> Statistics:
        """Of the training part."""
        return Statistics.measure(
            self.frames.state[self.training].astype(np.float64),
            self._chunks(self.training),
        )

    def draw(self, step: int, batch: int, seed: int) -> NDArray[np.int64]:
        """Frames of optimiser step ``step``: a function of seed and step, so a run can resume."""
        rng = np.random.default_rng([seed, 2, step])
        return np.sort(rng.choice(self.training, batch, p=self._share))

    def batch(
        self,
        rows: NDArray[np.int64],
        tokenizer: Tokenizer,
        statistics: Statistics,
        text_limit: int,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """The samples at these frames, on a device; pixels travel as bytes."""
        frames = self.frames
        state = frames.state[rows].astype(np.float64)
        sentences = [frames.instructions[int(i)] for i in frames.instruction_index[rows]]
        text, mask = tokenize(tokenizer, sentences, text_limit)
        keypoints = frames.keypoints[rows].reshape(len(rows), 2, 3)
        positions = (keypoints - state[:, None, :3]) / POSITION_UNIT
        positions[~keypoints.any(axis=(1, 2))] = np.nan  # bags become datasets with zeros there
        pixels = torch.from_numpy(np.asarray(frames.images[rows])).to(device)
        batch = Batch(
            images=normalise_pixels(pixels),
            text=text,
            text_mask=mask,
            state=torch.from_numpy(statistics.read_state(state)),
            actions=torch.from_numpy(statistics.read_actions(state, self._chunks(rows))),
            foretold=torch.from_numpy(frames.chunk_mask(rows, self.horizon)[..., None]).float(),
            positions=torch.from_numpy(positions.astype(np.float32)),
            things=torch.from_numpy(self.scenes.things(rows)) if self.scenes else None,
            gaze=torch.from_numpy(self.scenes.gaze(rows)) if self.scenes else None,
        )
        return batch.to(torch.device(device))

    def _chunks(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        return self.frames.chunks(rows, self.horizon).astype(np.float64)
