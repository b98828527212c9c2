"""Observations of a dataset to calibrate a recipe on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_distill.dataset import Dataset
from vla_distill.errors import DistillError
from vla_policy.contract import Observation
from vla_policy.robot import see_robot

FROM_ONE_EPISODE = 8
"""Frames taken of an episode, so that few films have to be decoded."""


def draw_observations(
    path: str | Path, count: int, seed: int = 0, *, policy: object = None
) -> list[Observation]:
    """Draw frames from episodes drawn without repetition, evenly over each episode.

    Args:
        path: folder of a dataset.
        count: how many; fewer come where the dataset has not so many frames.
        seed: of the draw.
        policy: what is calibrated; if given, it must be of the same robot.

    Raises:
        PolicyError: the policy is another robot's.
        DistillError: less than one is wanted.
        DatasetError: the folder is no finished dataset.
    """
    if count < 1:
        raise DistillError("observations to calibrate on", got=count, expected="at least 1")
    dataset = Dataset(path)
    see_robot(policy, dataset.robot)
    order = np.random.default_rng(seed).permutation(len(dataset.episodes))
    found: list[Observation] = []
    for index in order:
        episode = dataset.episode(int(index))
        wanted = min(FROM_ONE_EPISODE, count - len(found), len(episode))
        for row in np.linspace(0, len(episode) - 1, wanted).round().astype(int):
            images = {name: frames[row] for name, frames in episode.images.items()}
            stamp = float(row) / dataset.fps
            found.append(Observation(images, episode.state[row], episode.instruction, stamp))
        if len(found) >= count:
            break
    return found
