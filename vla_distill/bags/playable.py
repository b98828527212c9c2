"""A bag made ready for a live policy_node: episode by episode, in the order in which to play it.

Whatever the bag's topics and types are, the player needs to know nothing of them: an episode's
messages lie under ``/episode_<n>/`` as ``instruction``, ``camera/<name>/image_raw`` (Image) and
``ee_state``; each image lies before the state that first may see it. Answers come back in the
same form, and are read here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import Episode, split
from vla_distill.bags.errors import BagError
from vla_distill.bags.fault import FaultList
from vla_distill.bags.message import MessageMaker
from vla_distill.bags.series import Entry
from vla_distill.bags.step import AskedChunk
from vla_distill.bags.storage import Storage
from vla_policy.bag_writer import BagWriter
from vla_policy.conversions import chunk_from_message
from vla_policy.errors import PolicyError
from vla_policy.image_conversion import to_rgb

_EPSILON = 1e-6
_SAME = 1e-5
"""A stamp that went through messages and floats of seconds is this near to itself [s]."""
_EPISODE = re.compile(r"^/episode_(\d+)/(.+)$")
_IMAGE = "sensor_msgs/msg/Image"


def write_playable(bag: Bag, out: Path, instruction: str = "") -> FaultList:
    """Write all episodes of a bag.

    Args:
        bag: the bag.
        out: the ``.mcap`` file.
        instruction: what the arm was told, where the bag does not say.

    Returns:
        What could not be taken.

    Raises:
        BagError: the bag has no episodes.
    """
    faults = FaultList()
    episodes = split(bag, instruction)
    with BagWriter(out) as writer:
        for episode in episodes:
            _write(bag, episode, writer, faults)
    return faults


def _write(bag: Bag, episode: Episode, writer: BagWriter, faults: FaultList) -> None:
    make, prefix = MessageMaker(), f"/episode_{episode.index}"
    writer.add(f"{prefix}/instruction", make.text(episode.instruction), episode.start)
    images = [(e, name) for name in sorted(bag.images) for e in episode.of(bag.images[name])]
    images.sort(key=lambda pair: pair[0].stamp)
    place = 0
    for entry in episode.of(bag.states):
        while place < len(images) and images[place][0].stamp <= entry.stamp + _EPSILON:
            _write_image(bag, writer, prefix, *images[place], faults)
            place += 1
        state = make.state(entry.stamp, entry.value.state, entry.value.commanded)
        writer.add(f"{prefix}/ee_state", state, entry.stamp)


def _write_image(
    bag: Bag, writer: BagWriter, prefix: str, entry: Entry, camera: str, faults: FaultList
) -> None:
    topic = f"{prefix}/camera/{camera}/image_raw"
    if entry.value.type == _IMAGE:
        writer.write(topic, _IMAGE, bag.storage.fetch(entry.value.place), entry.stamp)
        return
    try:
        packed = bag.message(entry.value)
        image = MessageMaker().image(entry.stamp, camera, to_rgb(packed))
    except PolicyError as error:
        faults.add(entry.value.topic, entry.stamp, str(error))
        return
    image.header.stamp = packed.header.stamp  # to the bit: the noise hangs on it
    writer.add(topic, image, entry.stamp)


def read_answers(
    path: Path, bag: Bag, episodes: Sequence[Episode]
) -> tuple[list[list[AskedChunk]], dict[str, Any]]:
    """Read what policy_node answered to a played bag.

    Args:
        path: the player's file: each ``action_chunk`` lies at the stamp of the state that asked.
        bag: the bag that was played.
        episodes: its episodes.

    Returns:
        The chunks of each episode, and how many states were answered with HOLD, and why.

    Raises:
        BagError: the file is damaged or belongs to another bag.
    """
    storage = Storage(path)
    stamps = [[entry.stamp for entry in episode.of(bag.states)] for episode in episodes]
    asked: list[list[AskedChunk]] = [[] for _ in episodes]
    answered, reasons = 0, Counter[str]()
    for raw in storage.messages():
        match = _EPISODE.match(raw.topic)
        number = int(match.group(1)) if match else len(episodes)
        if match is None or number >= len(episodes):
            raise BagError(f"answers {path}", got=raw.topic, expected=f"{len(episodes)} episodes")
        message = storage.types.read(raw.data, raw.type)
        if match.group(2) == "ee_command":
            answered += 1
            if message.mode == 0:
                reasons[message.reason] += 1
            continue
        chunk = chunk_from_message(message)
        index = bisect_left(stamps[number], raw.time - _SAME)
        if index == len(stamps[number]) or stamps[number][index] > raw.time + _SAME:
            raise BagError(f"answers {path}", got=f"a chunk at {raw.time:.3f} s", expected="states")
        took = float(chunk.report.milliseconds.get("total", 0.0))
        asked[number].append(AskedChunk(stamps[number][index], chunk, took))
    faults = list(storage.faults)
    storage.close()
    if faults:
        raise BagError(f"answers {path}", got=str(faults[0]), expected="a whole file")
    held = dict(sorted(reasons.items()))
    return asked, {"states": answered, "held": sum(held.values()), "held_because": held}
