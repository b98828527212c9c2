"""Training samples: frames of a dataset with the chunk of actions that followed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from vla_policy.model.actions import Statistics
from vla_policy.model.grounding import POSITION_UNIT
from vla_policy.model.policy import normalise_pixels
from vla_policy.model.tokenizer import tokenize


class Frames(Protocol):
    """The arrays that training reads; vla_distill.dataset.FrameStore has them.

    Attributes:
        images: Shape (N, cameras, H, W, 3), uint8.
        state: observed states. Shape (N, 8).
        action: commanded pose and gripper due one step later. Shape (N, 7).
        keypoints: true positions of target and goal [m]. Shape (N, 6).
        episode_index: Shape (N,), ascending.
        last_index: last frame of each frame's episode. Shape (N,).
        instruction_index: into ``instructions``. Shape (N,).
        instructions: the sentences.
    """

    images: NDArray[np.uint8]
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    episode_index: NDArray[np.int64]
    last_index: NDArray[np.int64]
    instruction_index: NDArray[np.int64]
    instructions: Sequence[str]


@dataclass(frozen=True)
class Batch:
    """What one optimiser step sees.

    Attributes:
        images: Shape (B, cameras, 3, H, W), in [-1, 1].
        text, text_mask: token ids and where they are. Shape (B, L).
        state: standardised features. Shape (B, 11).
        actions: standardised relative chunk. Shape (B, T, 10).
        positions: target and goal relative to the end effector, in 0.1 m. Shape (B, 2, 3).
    """

    images: Tensor
    text: Tensor
    text_mask: Tensor
    state: Tensor
    actions: Tensor
    positions: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(**{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})


class Samples:
    """Frames, split by episode into training and held out, as batches.

    Beyond an episode's end a chunk repeats its last action: the expert holds still there.
    """

    def __init__(self, frames: Frames, horizon: int, held_out: float, seed: int) -> None:
        self.frames = frames
        self.horizon = horizon
        episode = np.asarray(frames.episode_index)
        episodes = np.unique(episode)
        count = round(held_out * len(episodes))
        chosen = np.random.default_rng([seed, 1]).permutation(episodes)[:count]
        is_held_out = np.isin(episode, chosen)
        self.training = np.flatnonzero(~is_held_out)
        self.held_out = np.flatnonzero(is_held_out)

    def statistics(self) -> Statistics:
        """Of the training part."""
        return Statistics.measure(
            np.asarray(self.frames.state)[self.training].astype(np.float64),
            self._chunks(self.training),
        )

    def draw(self, step: int, batch: int, seed: int) -> NDArray[np.int64]:
        """Frames of optimiser step ``step``: a function of seed and step, so a run can resume."""
        rng = np.random.default_rng([seed, 2, step])
        return np.sort(rng.choice(self.training, batch))

    def batch(
        self,
        rows: NDArray[np.int64],
        tokenizer: Tokenizer,
        statistics: Statistics,
        text_limit: int,
    ) -> Batch:
        """The samples at these frames."""
        frames = self.frames
        state = np.asarray(frames.state)[rows].astype(np.float64)
        sentences = [frames.instructions[int(i)] for i in np.asarray(frames.instruction_index)[rows]]
        text, mask = tokenize(tokenizer, sentences, text_limit)
        keypoints = np.asarray(frames.keypoints)[rows].reshape(len(rows), 2, 3)
        positions = (keypoints - state[:, None, :3]) / POSITION_UNIT
        return Batch(
            images=normalise_pixels(torch.from_numpy(np.asarray(frames.images[rows]))),
            text=text,
            text_mask=mask,
            state=torch.from_numpy(statistics.read_state(state)),
            actions=torch.from_numpy(statistics.read_actions(state, self._chunks(rows))),
            positions=torch.from_numpy(positions.astype(np.float32)),
        )

    def _chunks(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        ahead = rows[:, None] + np.arange(self.horizon)
        ahead = np.minimum(ahead, np.asarray(self.frames.last_index)[rows][:, None])
        return np.asarray(self.frames.action)[ahead].astype(np.float64)
