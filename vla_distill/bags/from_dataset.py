"""A LeRobot v3 dataset back to a bag: the same episodes as messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vla_distill.bags.episode import END, START, SUCCESS
from vla_distill.bags.errors import BagError
from vla_distill.bags.message import MessageMaker
from vla_distill.dataset import layout
from vla_distill.dataset.reader import Dataset
from vla_policy.bag_writer import BagWriter

FIRST_STAMP = 1.0
EPISODE_GAP = 2.0
"""Between two episodes [s]."""


def from_dataset(
    dataset: Dataset,
    out: Path,
    episodes: Sequence[int] | None = None,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, int]:
    """Write episodes as a bag.

    Frame k is ``ee_state`` and the images at its stamp; its action is the ``ee_command`` one step
    later, when it was due. Where the dataset knows that its episodes succeeded, they are marked so.

    Args:
        dataset: the dataset.
        out: the ``.mcap`` file.
        episodes: their indices; None takes all.
        tell: called with episodes done and episodes in all.

    Returns:
        Messages by topic.

    Raises:
        BagError: its frames do not follow one another, or it is of another robot.
    """
    _refuse_other_content(dataset)
    picked = range(len(dataset.episodes)) if episodes is None else episodes
    make, start, step = MessageMaker(), FIRST_STAMP, 1.0 / dataset.fps
    with BagWriter(out) as bag:
        for done, index in enumerate(picked):
            tell(done, len(picked))
            frames = dataset.episode(index)
            seed = max(0, frames.seed)
            bag.add(
                "/episode_mark",
                make.mark(start, START, frames.instruction, frames.task, seed, "dataset"),
                start,
            )
            bag.add("/instruction", make.text(frames.instruction), start)
            for k in range(len(frames)):
                stamp = round(start + k * step, 9)
                for camera in dataset.cameras:
                    image = make.image(stamp, camera, frames.images[camera][k])
                    bag.add(f"/camera/{camera}/image_raw", image, stamp)
                before = frames.action[k - 1] if k else frames.state[k][:7]
                sent = np.append(before[:6], frames.state[k][7])
                bag.add("/ee_state", make.state(stamp, frames.state[k], sent), stamp)
                due = round(stamp + step, 9)
                bag.add("/ee_command", make.command(due, frames.action[k]), due)
            end = round(start + len(frames) * step, 9)
            if dataset.collected:
                bag.add("/episode_mark", make.mark(end, SUCCESS, source="dataset"), end)
            bag.add("/episode_mark", make.mark(end, END), end)
            start = round(end + EPISODE_GAP, 9)
        tell(len(picked), len(picked))
    return bag.counts


def _refuse_other_content(dataset: Dataset) -> None:
    """A bag is a recording of this arm: every frame follows the one before."""
    if layout.CHUNK in dataset.info["features"]:
        raise BagError(
            f"dataset {dataset.path}",
            got="chosen frames, which need not follow one another",
            expected="whole episodes, as those that it was distilled from",
        )
    if dataset.robot != layout.ROBOT_TYPE:
        raise BagError(
            f"robot of dataset {dataset.path}", got=dataset.robot, expected=layout.ROBOT_TYPE
        )
