"""What a bag says, by header stamps: one pass over its messages, images left where they lie.

The rules, each with its fault in the report:

- **Order** is that of the header stamps, not of arrival. A message older than the newest of its
  topic is *late*: put in its place.
- Of messages with equal stamps on a topic the last stands, as in the live node.
- A stamp that goes back by more than half a second is a clock that jumped: what follows is another
  *segment*, and nothing is aligned across it.
- A message that cannot be decoded, has another type than its part allows, or numbers that are not
  finite, is left out.
- Texts without a header have the newest stamp that came before them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_arm.joint_table import get_arm
from vla_distill.bags.fault import Fault, FaultList
from vla_distill.bags.mapping import JOINT_TYPE, TYPES, TopicMapping
from vla_distill.bags.series import Entry, Series, place_in_time
from vla_distill.bags.storage import RawMessage, Storage
from vla_policy.contract import ActionChunk
from vla_policy.conversions import (
    chunk_from_message,
    joint_values,
    pose_from_message,
    seconds,
)
from vla_policy.errors import PolicyError
from vla_policy.image_conversion import to_rgb
from vla_policy.observation import state_from_message

if TYPE_CHECKING:
    from vla_arm.kinematics import ArmKinematics

CLOCK_JUMP = 0.5
"""A stamp this much before the newest begins another segment [s]."""
_MOVE = 1


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where an image lies."""

    topic: str
    type: str
    place: tuple[int, int, int]

    @classmethod
    def of_row(cls, kinds: Sequence[tuple[str, str]], row: NDArray[np.float64]) -> ImageRef:
        """Of a row of numbers: which of the topics and types, and the place."""
        number, file, offset, index = row.astype(np.int64).tolist()
        topic, kind = kinds[number]
        return cls(topic, kind, (file, offset, index))


@dataclass(frozen=True, slots=True)
class ArmState:
    """State of the arm: Shape (8,), and pose and opening last sent to it, Shape (7,)."""

    state: NDArray[np.float64]
    commanded: NDArray[np.float64]

    @classmethod
    def of_row(cls, row: NDArray[np.float64]) -> ArmState:
        """Of both, one behind the other. Shape (15,)."""
        return cls(row[:8], row[8:])


@dataclass(frozen=True)
class RecordedChunk:
    """A chunk as the policy gave it, and its message as it lies in the bag."""

    chunk: ActionChunk
    message: Any


@dataclass(frozen=True)
class Mark:
    """Where an episode begins or ends; ``kind`` as in ``vla_msgs/EpisodeMark``."""

    kind: int
    instruction: str = ""
    task: str = ""
    seed: int = 0
    source: str = ""


@dataclass(frozen=True)
class TaskJudgement:
    """What the simulation said about the episode."""

    task: str
    seed: int
    success: bool
    instruction: str


@dataclass
class Bag:
    """The content of a bag, in order of segment and stamp.

    Attributes:
        storage: its files; images are fetched from there.
        topics: topic -> type and number of messages.
        images: camera -> entries of :class:`ImageRef`.
        states: entries of :class:`ArmState`.
        commands: entries of poses, Shape (7,), that the arm was told to go to.
        chunks: entries of :class:`RecordedChunk`.
        instructions: entries of texts.
        marks: entries of :class:`Mark`.
        judgements: entries of :class:`TaskJudgement`.
        faults: what could not be read or used.
    """

    storage: Storage
    topics: dict[str, tuple[str, int]] = field(default_factory=dict)
    images: dict[str, Series] = field(default_factory=dict)
    states: Series = field(default_factory=lambda: Series(15, ArmState.of_row))
    commands: Series = field(default_factory=lambda: Series(7, np.asarray))
    chunks: list[Entry] = field(default_factory=list)
    instructions: list[Entry] = field(default_factory=list)
    marks: list[Entry] = field(default_factory=list)
    judgements: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float]:
        """First and last stamp of images and states [s]; NaN in an empty bag."""
        stamps = [own.stamps for own in (*self.images.values(), self.states) if len(own)]
        if not stamps:
            return float("nan"), float("nan")
        return float(min(map(np.min, stamps))), float(max(map(np.max, stamps)))

    def message(self, ref: ImageRef) -> Any:
        """Fetch an image message.

        Raises:
            PolicyError: its bytes are no message.
        """
        return self.storage.types.read(self.storage.fetch(ref.place), ref.type)

    def pixels(self, ref: ImageRef) -> NDArray[np.uint8]:
        """Fetch an image. Shape (H, W, 3), uint8, RGB.

        Raises:
            PolicyError: it cannot be decoded.
        """
        return to_rgb(self.message(ref))


def read_bag(
    path: Path,
    mapping: TopicMapping | None = None,
    tell: Callable[[int], object] = lambda count: None,
) -> Bag:
    """Read a bag, as far as it can be read.

    Args:
        path: a rosbag2 folder, a ``.mcap`` or a ``.db3`` file.
        mapping: which topic plays which part.
        tell: called now and then with the number of messages read.

    Raises:
        BagError: there is no bag.
    """
    return _Reader(Storage(path), mapping or TopicMapping()).read(tell)


class _Reader:
    def __init__(self, storage: Storage, mapping: TopicMapping) -> None:
        self._bag, self._mapping = Bag(storage), mapping
        self._faults = FaultList()
        self._segment, self._newest = 0, -np.inf
        self._roles: dict[tuple[str, str], tuple[str, str] | None] = {}
        self._cameras: dict[str, str] = {}
        self._kinds: list[tuple[str, str]] = []
        self._latest: dict[str, tuple[int, float]] = {}
        self._kinematics: ArmKinematics | None = None

    def read(self, tell: Callable[[int], object]) -> Bag:
        counts: Counter[str] = Counter()
        kinds: dict[str, str] = {}
        for number, raw in enumerate(self._bag.storage.messages()):
            counts[raw.topic] += 1
            kinds.setdefault(raw.topic, raw.type)
            role = self._role(raw)
            if role is not None:
                try:
                    self._take(raw, *role)
                except PolicyError as error:
                    self._faults.add(raw.topic, raw.time, str(error))
            if number % 500 == 0:
                tell(number)
        bag = self._bag
        bag.topics = {topic: (kinds[topic], counts[topic]) for topic in sorted(counts)}
        for name, entries in bag.images.items():
            self._double(self._cameras[name], entries.put_in_order())
        self._double("states", bag.states.put_in_order())
        self._double("commands", bag.commands.put_in_order())
        bag.chunks.sort(key=place_in_time)
        bag.marks.sort(key=place_in_time)
        bag.judgements = self._last_ones("judgements", bag.judgements)
        if not counts:
            self._faults.add("", None, "the bag holds no message", 0)
        bag.faults = [*bag.storage.faults, *self._faults]
        return bag

    def _role(self, raw: RawMessage) -> tuple[str, str] | None:
        key = raw.topic, raw.type
        if key not in self._roles:
            role = self._mapping.part(raw.topic)
            if role is not None and raw.type not in TYPES[role[0]]:
                wanted = " or ".join(TYPES[role[0]])
                reason = f"its type is {raw.type}, expected {wanted}; the topic is left out"
                self._faults.add(raw.topic, raw.time, reason, 0)
                role = None
            elif role and role[0] == "camera" and self._taken(role[1], raw.topic):
                reason = f"another topic of camera {role[1]!r} is used; a mapping can choose"
                self._faults.add(raw.topic, raw.time, reason, 0)
                role = None
            self._roles[key] = role
        return self._roles[key]

    def _taken(self, camera: str, topic: str) -> bool:
        return self._cameras.setdefault(camera, topic) != topic

    def _take(self, raw: RawMessage, part: str, camera: str) -> None:
        if part == "camera":
            entry = self._entry(raw, _header_stamp(raw.data))
            if camera not in self._bag.images:
                self._bag.images[camera] = Series(4, partial(ImageRef.of_row, self._kinds))
            kind = self._kind(raw.topic, raw.type)
            self._bag.images[camera].append(*entry, (kind, *raw.place))
            return
        message = self._bag.storage.types.read(raw.data, raw.type)
        if part == "instruction":
            newest = self._newest if np.isfinite(self._newest) else -np.inf
            self._bag.instructions.append(Entry(self._segment, newest, str(message.data)))
            return
        stamp = seconds(message.header.stamp)
        if part == "state":
            row = self._state(message, raw.type)
            self._bag.states.append(*self._entry(raw, stamp), row)
            return
        if part == "command":
            # HOLD says nothing about where to go.
            moves = message.mode == _MOVE
            row = [*pose_from_message(message.pose), message.gripper] if moves else []
            entry = self._entry(raw, stamp)
            if moves:
                self._bag.commands.append(*entry, row)
            return
        if part == "chunks":
            value: Any = RecordedChunk(chunk_from_message(message), message)
            place = self._bag.chunks
        elif part == "marks":
            value = Mark(
                int(message.kind), message.instruction, message.task, int(message.seed),
                message.source,
            )  # fmt: skip
            place = self._bag.marks
        else:
            value = TaskJudgement(
                message.task, int(message.seed), bool(message.success), message.instruction
            )
            place = self._bag.judgements
        place.append(Entry(*self._entry(raw, stamp), value))

    def _kind(self, topic: str, kind: str) -> int:
        """The number of a topic and type of images."""
        if (topic, kind) not in self._kinds:
            self._kinds.append((topic, kind))
        return self._kinds.index((topic, kind))

    def _state(self, message: Any, kind: str) -> list[float]:
        """State and what was commanded, one behind the other."""
        if kind != JOINT_TYPE:
            commanded = [*pose_from_message(message.commanded), message.gripper_commanded]
            return [*state_from_message(message), *commanded]
        if self._kinematics is None:
            from vla_arm.kinematics import ArmKinematics  # slow to load, and rarely needed

            self._kinematics = ArmKinematics(get_arm(self._mapping.arm))
        values = joint_values(message, [*self._mapping.joints, self._mapping.gripper])
        pose = self._kinematics.forward(values[:6])
        return [*pose, values[6], values[6], *pose, values[6]]

    def _entry(self, raw: RawMessage, stamp: float) -> tuple[int, float]:
        """Segment and stamp of a message; notes what comes late and clocks that jump."""
        if stamp < self._newest - CLOCK_JUMP:
            lately = self._latest.get(raw.topic)
            # Chunks are stamped by what was seen, and so lag behind.
            if not raw.type.endswith("ActionChunk"):
                if lately is None or lately[0] == self._segment:
                    back = self._newest - stamp
                    reason = f"the clock jumped back by {back:.2f} s; a new segment begins"
                    self._faults.add(raw.topic, self._newest, reason)
                    self._segment += 1
                self._newest = stamp
        self._newest = max(self._newest, stamp)
        segment, last = self._latest.get(raw.topic, (-1, -np.inf))
        if segment == self._segment and stamp < last:
            self._faults.add(raw.topic, stamp, "came late; put in order by its stamp")
        else:
            self._latest[raw.topic] = self._segment, stamp
        return self._segment, stamp

    def _last_ones(self, name: str, entries: list[Entry]) -> list[Entry]:
        """In order; of equal stamps the last one."""
        ordered = sorted(entries, key=place_in_time)
        last = {place_in_time(entry): entry for entry in ordered}
        self._double(name, [e.stamp for e in ordered if last[place_in_time(e)] is not e])
        return list(last.values())

    def _double(self, name: str, stamps: Sequence[float]) -> None:
        for stamp in stamps:
            self._faults.add(name, stamp, "equal stamps; the last one stands")


def _header_stamp(data: bytes) -> float:
    """Header stamp [s] of a CDR message that begins with a header, without decoding the rest."""
    if len(data) < 12:
        raise PolicyError("message", got=f"{len(data)} bytes", expected="a header")
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return sec + nanosec * 1e-9
