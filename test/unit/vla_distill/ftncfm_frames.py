"""Made-up frames and an untrained guide, for the tests of data distillation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla_distill.dataset import FrameStore, layout
from vla_distill.dataset.store import NO_ERROR
from vla_distill.dataset.synthetic import SyntheticEpisode, write_synthetic
from vla_distill.ftncfm.gradients import Guide
from vla_policy.model.policy import VlaPolicy

POSE = np.array([0.3, 0, 0.2, 0, 1.57, 0])
TASKS = ("pick", "reach")


def frames(episodes: int = 6, length: int = 5, way: float = 3.0) -> FrameStore:
    """Episodes that move by ``way`` [m] in x, y, z; tasks take turns."""
    rng = np.random.default_rng(0)
    count = episodes * length
    state = np.concatenate([np.tile(POSE, (count, 1)), np.full((count, 2), 0.08)], 1)
    state[:, :3] += 0.01 * rng.normal(size=(count, 3))
    action = np.concatenate([state[:, :6], np.full((count, 1), 0.08)], 1)
    action[:, :3] += way
    episode = np.repeat(np.arange(episodes), length)
    return FrameStore(
        images=rng.integers(0, 256, (count, 2, 32, 32, 3), np.uint8),
        state=state.astype(np.float32),
        action=action.astype(np.float32),
        keypoints=rng.normal(0.2, 0.1, (count, 6)).astype(np.float32),
        disturbance=np.zeros(count, np.int64),
        episode_index=episode,
        frame_index=np.tile(np.arange(length), episodes),
        last_index=episode * length + length - 1,
        instruction_index=episode % 2,
        error_index=np.full(count, NO_ERROR),
        instructions=["pick up the red cube", "reach the red cube"],
        tasks=[TASKS[number % 2] for number in range(episodes)],
        cameras=("front", "wrist"),
        content_hash="made up",
    )


def on_disk(folder: Path, store: FrameStore, seeds: Sequence[int] = ()) -> Path:
    """The frames as a synthetic dataset, which opens fast; seeds are 100 and on if not given."""
    rows = np.arange(len(store))
    arrays = {
        "images": np.asarray(store.images[rows]),
        "state": store.state,
        "chunk": store.chunks(rows, layout.HORIZON),
        "keypoints": store.keypoints,
        "weight": np.ones(len(rows), np.float32),
        "episode": store.episode_index,
        "source_frame": store.frame_index,
        "foretold": np.full(len(rows), layout.HORIZON),
    }
    episodes = [
        SyntheticEpisode(task, seed, store.instructions[number % 2])
        for number, (task, seed) in enumerate(zip(store.tasks, seeds or range(100, 999)))
    ]
    write_synthetic(folder, arrays, episodes, store.cameras)
    return folder


def guide(store: FrameStore, seed: int = 0) -> Guide:
    """Untrained: it predicts zero, does not look at the noisy actions, and knows the way alone."""
    policy = VlaPolicy.random("test", seed)
    mean = policy.statistics.action_mean
    mean[:, [3, 7, 9]] = (1.0, 1.0, 0.08)  # no rotation, and an open gripper
    policy.network.head.embed.weight.data.zero_()
    return Guide(policy, store, seed)
