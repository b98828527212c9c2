"""A bag to a LeRobot v3 dataset that ``vla train`` reads. All or nothing; images are streamed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import Episode, split
from vla_distill.bags.errors import BagError
from vla_distill.bags.fault import Fault, FaultList
from vla_distill.bags.frames import Frame, frames, reference
from vla_distill.bags.series import Entry
from vla_distill.dataset.episode import EpisodeFrames
from vla_distill.dataset.writer import DatasetWriter
from vla_policy.errors import PolicyError

MIN_FRAMES = 3
"""A part shorter than this teaches nothing."""


@dataclass(frozen=True)
class ConversionConfig:
    """How a bag becomes a dataset.

    Attributes:
        fps: frames a second.
        image_size: height and width [px]; None keeps that of the first image.
        max_age: an image older than this is missing [s].
        source: where actions come from, see :func:`vla_distill.bags.frames.reference`.
        instruction: for bags that do not say.
        only_success: leave out episodes that are not marked as a success.

    Raises:
        BagError: a number is out of range.
    """

    fps: int = 10
    image_size: tuple[int, int] | None = None
    max_age: float = 0.25
    source: str = "auto"
    instruction: str = ""
    only_success: bool = False

    def __post_init__(self) -> None:
        if self.fps < 1:
            raise BagError("fps", got=self.fps, expected="1 or more")
        if self.image_size is not None and min(self.image_size) < 1:
            raise BagError("image_size", got=self.image_size, expected="1 pixel or more")
        if not self.max_age >= 0.0:
            raise BagError("max_age", got=self.max_age, expected="seconds, 0 or more")


class BagImages:
    """The images of a part as an array (T, H, W, 3) that is decoded when looked at, one by one.

    Attributes:
        broken: number of the image that could not be decoded, and why; None so far.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, bag: Bag, entries: Sequence[Entry], size: tuple[int, int]) -> None:
        self._bag, self._entries, self._size = bag, entries, size
        self.broken: tuple[int, Fault] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (T, H, W, 3)."""
        return (len(self._entries), *self._size, 3)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for index, entry in enumerate(self._entries):
            try:
                image = self._image(entry)
            except PolicyError as error:
                reason = f"{error}; the episode is cut here"
                self.broken = index, Fault(entry.value.topic, entry.stamp, reason)
                raise
            yield image

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        picked = np.stack([self._image(self._entries[int(row)]) for row in np.atleast_1d(rows)])
        return picked[(slice(None), *rest)]

    def _image(self, entry: Entry) -> NDArray[np.uint8]:
        image = self._bag.pixels(entry.value)
        height, width = self._size
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8)


def to_dataset(
    bag: Bag,
    out: Path,
    config: ConversionConfig | None = None,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[dict[str, Any], list[Fault]]:
    """Convert a bag.

    Args:
        bag: the bag.
        out: the dataset's folder; it appears when all is well.
        config: how.
        tell: called with episodes done and episodes in all.

    Returns:
        What was made, and what was left out and why.

    Raises:
        BagError: nothing could be converted.
        DatasetError: ``out`` exists.
    """
    config = config or ConversionConfig()
    episodes = split(bag, config.instruction)
    cameras = sorted(bag.images)
    if not cameras:
        raise BagError(
            f"bag {bag.storage.path}",
            got=f"no image (topics: {sorted(bag.topics)})",
            expected="camera/<name>/image_raw, or a mapping that names the cameras",
        )
    size = config.image_size or _size(bag, cameras)
    faults = FaultList()
    writer = DatasetWriter(out, cameras, size, config.fps, {"bag": bag.storage.path.name})
    try:
        for old in writer.partial.glob("*/"):  # of a conversion that was killed
            shutil.rmtree(old)
        names: list[tuple[str, int]] = []
        for done, episode in enumerate(episodes):
            tell(done, len(episodes))
            if config.only_success and not episode.success:
                faults.add("", episode.start, "an episode without success is left out")
                continue
            for part in frames(bag, episode, cameras, config.fps, faults, config.max_age):
                names += _write(writer, bag, episode, part, len(names), size, config, faults)
        if not names:
            told = "; ".join(map(str, [*faults, *bag.faults][:5]))
            raise BagError(
                f"bag {bag.storage.path}", got=f"no usable frames ({told})", expected="some"
            )
        writer.finish(names)
    except BaseException:
        # A conversion takes little time: rather none than half of one.
        shutil.rmtree(writer.partial, ignore_errors=True)
        shutil.rmtree(out.with_name(out.name + ".merging"), ignore_errors=True)
        raise
    tell(len(episodes), len(episodes))
    summary = {
        "dataset": str(out),
        "episodes": len(names),
        "cameras": cameras,
        "image_size": list(size),
        "fps": config.fps,
    }
    return summary, [*bag.faults, *faults]


def _write(
    writer: DatasetWriter,
    bag: Bag,
    episode: Episode,
    part: list[Frame],
    number: int,
    size: tuple[int, int],
    config: ConversionConfig,
    faults: FaultList,
) -> list[tuple[str, int]]:
    """Write a part as an episode of the dataset, or as more where images cannot be decoded.

    Returns:
        Their tasks and seeds.
    """
    series = reference(bag, episode, config.source)
    due = np.array([frame.stamp for frame in part]) + 1.0 / config.fps
    actions = series.at(due)
    if len(series.stamps):
        # What the last frames' answers would have been nobody sent: the last one stands.
        late = due > series.stamps[-1]
        actions[late & (due <= series.stamps[-1] + 1.5 / config.fps)] = series.poses[-1]
    known = np.asarray(np.isfinite(actions).all(axis=1))
    begin = int(np.argmax(known))
    end = begin + int(np.argmin(np.append(known[begin:], False)))
    if not known.any():
        begin = end = len(part)
    where = f"episode {episode.index}"
    for gap in (part[:begin], part[end:]):
        if gap:
            reason = "frames without a known command are left out"
            faults.add(where, gap[0].stamp, reason, len(gap))
    names: list[tuple[str, int]] = []
    todo = [(part[begin:end], actions[begin:end])] if begin < end else []
    while todo:
        part, actions = todo.pop()
        if len(part) < MIN_FRAMES:
            reason = f"frames are left out, as fewer than {MIN_FRAMES} are together"
            faults.add(where, part[0].stamp, reason, len(part))
            continue
        name = (episode.task or "bag", number + len(names))
        images = {
            camera: BagImages(bag, [frame.images[camera] for frame in part], size)
            for camera in writer.cameras
        }
        try:
            writer.add_episode(_episode_frames(episode, part, actions, images, name))
            names.append(name)
        except PolicyError:
            # Each camera has come to its own first one; as that is rare, it is written again.
            length, fault = min(
                (each.broken for each in images.values() if each.broken), key=itemgetter(0)
            )
            faults.add(fault.topic, fault.time, fault.reason)
            cuts = slice(length + 1, None), slice(length)
            todo += [(part[cut], actions[cut]) for cut in cuts if part[cut]]
    return names


def _episode_frames(
    episode: Episode,
    part: list[Frame],
    actions: NDArray[np.float64],
    images: dict[str, BagImages],
    name: tuple[str, int],
) -> EpisodeFrames:
    task, seed = name
    return EpisodeFrames(
        images=images,  # type: ignore[arg-type]
        state=np.array([frame.state for frame in part], np.float32),
        action=actions.astype(np.float32),
        keypoints=np.zeros((len(part), 6), np.float32),
        disturbance=np.zeros(len(part), np.int64),
        instruction=episode.instruction,
        task=task,
        seed=seed,
        noise="bag",
    )


def _size(bag: Bag, cameras: Sequence[str]) -> tuple[int, int]:
    """Height and width of the first readable image of any camera."""
    for entries in (bag.images[name] for name in cameras):
        for entry in entries[:50]:
            try:
                height, width = bag.pixels(entry.value).shape[:2]
            except PolicyError:
                continue
            return height, width
    raise BagError(f"bag {bag.storage.path}", got="no readable image", expected="one")
