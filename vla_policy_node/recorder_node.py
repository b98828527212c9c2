"""recorder_node: what the topics say into a bag, with marks where episodes begin and how they end.

It takes messages as bytes and never looks into images. The bag is a file named ``*.part.mcap``
until the node ends; one that is left over from a kill holds all but the last moments.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_msgs.msg import (
    ActionChunk,
    ArmStatus,
    EndEffectorCommand,
    EndEffectorState,
    EpisodeMark,
    PolicyStatus,
    TaskStatus,
)

from vla_policy.bag_writer import BagWriter
from vla_policy.conversions import seconds
from vla_policy.errors import PolicyError
from vla_policy_node.lifecycle import ERROR, OK, WARN, SettingsNode, run
from vla_policy_node.qos import REPORT
from vla_policy_node.settings import RecorderSettings

EVERY = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""Nothing shall be lost while the disk is slow."""
EVERY_LATCHED = QoSProfile(
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Each of what is latched, the one that was said before included."""
PICTURES = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
FLUSH_PERIOD = 1.0
STATE, MARK = "ee_state", "episode_mark"
STAMP = slice(4, 12)
"""Where the header's stamp lies in a message's bytes."""


class Topic(NamedTuple):
    """A topic that is recorded.

    Attributes:
        kind: class of its messages.
        qos: how to listen to it.
        stamped: whether its messages begin with a header.
    """

    kind: type[Any]
    qos: QoSProfile
    stamped: bool = True


TOPICS = {
    "joint_states": Topic(JointState, EVERY),
    STATE: Topic(EndEffectorState, EVERY),
    "ee_command": Topic(EndEffectorCommand, EVERY),
    "action_chunk": Topic(ActionChunk, EVERY),
    "policy_status": Topic(PolicyStatus, EVERY),
    "task_status": Topic(TaskStatus, EVERY),
    MARK: Topic(EpisodeMark, EVERY),
    "arm_status": Topic(ArmStatus, EVERY_LATCHED),
    "instruction": Topic(String, EVERY_LATCHED, stamped=False),
}


class RecorderNode(SettingsNode[RecorderSettings]):
    """Writes a bag while it is active; its services mark episodes."""

    def __init__(self, **options: Any) -> None:
        super().__init__("recorder_node", RecorderSettings, **options)
        self._bag: BagWriter | None = None

    def configure(self) -> None:
        """Open the bag, and listen."""
        settings = self.settings
        path = Path(settings.bag or time.strftime("recordings/%Y%m%d_%H%M%S.mcap")).expanduser()
        self._bag = BagWriter(path, compress=settings.compress, recorded=True)
        self._last: dict[str, bytes] = {}
        self._failure = ""
        self._begun = self._ended = self._repeated = 0
        compressed = settings.image_transport == "compressed"
        image = Topic(CompressedImage if compressed else Image, PICTURES)
        suffix = "/compressed" if compressed else ""
        cameras = {f"camera/{name}/image_raw{suffix}": image for name in settings.cameras}
        self._needed = [*cameras, STATE]
        for name, topic in {**cameras, **TOPICS}.items():
            take = lambda raw, name=name, topic=topic: self._take(name, topic, raw)  # noqa: E731
            self.subscribe(topic.kind, name, take, topic.qos, raw=True)
        self._mark_out = self.publisher(EpisodeMark, MARK, REPORT)
        for name, kind in (
            ("start_episode", EpisodeMark.START),
            ("end_episode", EpisodeMark.END),
            ("mark_success", EpisodeMark.SUCCESS),
            ("mark_failure", EpisodeMark.FAILURE),
        ):
            answer = lambda request, response, kind=kind: self._on_mark(kind, response)  # noqa: E731
            self.serve(Trigger, name, answer)
        self.every(FLUSH_PERIOD, self._flush)

    def activate(self) -> None:
        """Record from now on."""
        self.get_logger().info(f"recording into {self.bag.part}")

    def deactivate(self) -> None:
        """Record no more; an episode that is open ends."""
        if self._begun > self._ended and STATE in self._last:
            mark = self._mark(EpisodeMark.END)
            self._take(MARK, TOPICS[MARK], serialize_message(mark))

    def cleanup(self) -> None:
        """Finish the bag."""
        if self._bag is None:
            return
        bag, self._bag = self._bag, None
        if bag.counts:
            bag.close()
            self.get_logger().info(f"{bag.path}: {self._begun} episodes")
        else:
            bag.abandon()
            self.get_logger().warning(f"nothing came: there is no {bag.path}")

    @property
    def bag(self) -> BagWriter:
        """What is written; only after configure."""
        assert self._bag is not None, "configured"
        return self._bag

    def health(self) -> tuple[bytes, str, Mapping[str, object]]:
        """See :meth:`SettingsNode.health`."""
        missing = [name for name in self._needed if name not in self._last]
        counts = self._bag.counts if self._bag else {}
        values = {
            "bag": self._bag.path if self._bag else "",
            "waiting for": ", ".join(missing),
            "begun": self._begun,
            "ended": self._ended,
            "repeated": self._repeated,
            **counts,
        }
        if self._failure:
            return ERROR, self._failure, values
        if missing:
            return WARN, f"waiting for {', '.join(missing)}", values
        return OK, f"{self._begun} episodes begun, {self._ended} ended", values

    # What comes in.

    def _take(self, name: str, topic: Topic, raw: bytes) -> None:
        if not self.active or self._bag is None or self._failure:
            return
        new = name not in self._last
        if topic.stamped:
            if not new and _same(topic.kind, self._last[name], raw):
                # In lockstep or paused, what was said is said again for those who came late.
                self._repeated += 1
                return
            self._last[name] = raw
        try:
            if name == MARK:
                self._count(raw)
            self._bag.write(self._name(name), _type(topic.kind), raw, self.ros_time())
        except PolicyError as error:
            self.warn(f"{name}: {error}")
        except OSError as error:
            self._fail(error)
        if new or name == MARK:
            self.report_health()

    def _count(self, raw: bytes) -> None:
        mark = deserialize_message(raw, EpisodeMark)
        if mark.kind == EpisodeMark.START:
            self._ended = self._begun  # a START ends the one before
            self._begun += 1
        elif mark.kind == EpisodeMark.END:
            self._ended = self._begun

    def _name(self, topic: str) -> str:
        """The topic's own name under the namespace, whatever it is remapped to."""
        return f"{self.get_namespace().rstrip('/')}/{topic}"

    def _flush(self) -> None:
        if self._bag is None or self._failure:
            return
        try:
            self._bag.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Nothing more is written; the node lives on, so that diagnostics say why."""
        self._failure = f"the bag cannot be written: {error}"
        self.get_logger().error(self._failure)
        self.report_health()

    # Marks.

    def _on_mark(self, kind: int, response: Trigger.Response) -> Trigger.Response:
        begun = self._begun > self._ended
        if not self.active or STATE not in self._last:
            response.message = "nothing is recorded yet: " + self.health()[1]
        elif kind != EpisodeMark.START and not begun:
            response.message = "no episode is open: start_episode comes first"
        elif kind == EpisodeMark.START and not self.settings.instruction.strip():
            response.message = "no instruction: set the parameter `instruction` first"
        else:
            # It comes back by the topic, as those of others do.
            mark = self._mark(kind)
            self._mark_out.publish(mark)
            response.success = True
            response.message = f"marked at {seconds(mark.header.stamp):.3f} s"
        return response

    def _mark(self, kind: int) -> EpisodeMark:
        """A mark at the newest state's time."""
        mark = EpisodeMark(kind=kind, source="recorder_node")
        mark.header.stamp = deserialize_message(self._last[STATE], EndEffectorState).header.stamp
        if kind == EpisodeMark.START:
            mark.instruction, mark.task = self.settings.instruction, self.settings.task
        return mark


def _same(kind: type[Any], one: bytes, other: bytes) -> bool:
    """Whether two messages that begin with a header say the same.

    Their bytes may differ nevertheless: those that fill up to an alignment are not set, and hold
    whatever was there before.
    """
    if one == other:
        return True
    if one[STAMP] != other[STAMP]:
        return False
    return deserialize_message(one, kind) == deserialize_message(other, kind)


def _type(kind: type[Any]) -> str:
    """E.g. ``sensor_msgs/msg/Image``."""
    package, folder, *_ = kind.__module__.split(".")
    return f"{package}/{folder}/{kind.__name__}"


def main() -> None:
    """Run the node."""
    run(RecorderNode)


if __name__ == "__main__":
    main()
