"""Play a bag into a live policy_node, and write down what it answers.

``python -m vla_policy_node.bag_player --bag PLAYABLE.mcap --answers OUT.mcap --mode step``. The
file is one that ``vla bag playable`` makes. In the mode ``step`` nothing goes on before the node
has answered: the same answers in every run. In ``real_time`` time goes on by the wall clock, and
what comes late is late. Each episode begins with a fresh activation of the node.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mcap.reader import make_reader
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from vla_msgs.msg import ActionChunk, ArmStatus, EndEffectorCommand, EndEffectorState

from vla_policy.bag_writer import BagWriter
from vla_policy_node.errors import NodeError
from vla_policy_node.qos import COMMAND, LATCHED, REPORT
from vla_policy_node.shared_memory import open_context

POLICY = "policy_node"
RESEND_PERIOD = 2.0
"""A state that nobody answers is said again so often [s]; the node answers it the same."""
STATUS_PERIOD = 0.5
LATE = 2.0
"""After the last state of an episode in real time, for what is still under way [s]."""
CHUNK, COMMAND_TYPE = "vla_msgs/msg/ActionChunk", "vla_msgs/msg/EndEffectorCommand"
_WRITTEN = b""
_NAME = re.compile(r"^/episode_(\d+)/(.+)$")


@dataclass
class Moment:
    """A state, and the images that came since the one before it.

    Attributes:
        nanoseconds: stamp of the state.
        state: its message, serialised.
        images: camera and message, serialised.
    """

    nanoseconds: int
    state: bytes
    images: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def stamp(self) -> int:
        """The stamp as the node's answer bears it: it went through a float of seconds [ns]."""
        sec, nanosec = divmod(self.nanoseconds, 1_000_000_000)
        return round((sec + nanosec * 1e-9) * 1e9)


def episodes(path: Path) -> Iterator[tuple[int, str, Iterator[Moment]]]:
    """Number, instruction and moments of each episode; the moments are read as they are taken."""
    with path.open("rb") as file:
        found = make_reader(file).iter_messages(log_time_order=False)
        rows = ((_NAME.match(channel.topic), message) for _, channel, message in found)
        named = ((int(m.group(1)), m.group(2), message) for m, message in rows if m)
        for number, group in groupby(named, key=lambda row: row[0]):
            rest = iter(group)
            _, topic, message = next(rest)
            if topic != "instruction":
                raise NodeError(f"bag {path}", got=topic, expected="an instruction first")
            text = deserialize_message(message.data, String).data
            yield number, text, _moments(rest)


def _moments(rows: Iterator[tuple[int, str, Any]]) -> Iterator[Moment]:
    images: list[tuple[str, bytes]] = []
    for _, topic, message in rows:
        if topic == "ee_state":
            yield Moment(message.log_time, message.data, images)
            images = []
        else:
            images.append((topic.split("/")[1], message.data))


class BagPlayer:
    """Plays moments into policy_node and keeps what it answers.

    Args:
        namespace: of the node.
        answers: where the answers go.
        timeout: for every answer of the node [s, wall clock].
    """

    def __init__(self, namespace: str, answers: BagWriter, timeout: float) -> None:
        self._context = open_context()
        self._node = Node("bag_player", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._answers, self._timeout = answers, timeout
        make, listen = self._node.create_publisher, self._node.create_subscription
        self._state_out = make(EndEffectorState, "ee_state", COMMAND)
        self._clock_out = make(Clock, "clock", COMMAND)
        self._arm_out = make(ArmStatus, "arm_status", LATCHED)
        self._instruction_out = make(String, "instruction", LATCHED)
        self._images_out: dict[str, Any] = {}
        listen(EndEffectorCommand, "ee_command", self._take_command, REPORT, raw=True)
        listen(ActionChunk, "action_chunk", self._take_chunk, REPORT, raw=True)
        self._change_client = self._node.create_client(ChangeState, f"{POLICY}/change_state")
        self._state_client = self._node.create_client(GetState, f"{POLICY}/get_state")
        self._node.create_timer(STATUS_PERIOD, self._say_ready)
        self._prefix = ""
        self._chunks: dict[tuple[int, int], bytes] = {}
        self._asked: dict[tuple[int, int], int] = {}
        self._shown: dict[int, EndEffectorCommand | None] = {}

    def connect(self) -> None:
        """Wait until the node is active, and find out which cameras it looks at.

        Raises:
            NodeError: it is not there in time.
        """
        self._wait(f"{POLICY}", self._state_client.service_is_ready)
        self._wait(f"{POLICY} active", self._is_active)
        for out in (self._state_out, self._arm_out, self._instruction_out):
            self._wait(f"{out.topic} heard", lambda out=out: out.get_subscription_count() > 0)
        self._wait(
            "cameras of the policy",
            # The node makes this one last: when it is known, so are the others.
            lambda: "task_status" in self._ears() and bool(self._cameras()),
        )
        for camera in sorted(self._cameras()):
            # With a history of one, each write asks to be acknowledged; with a longer one the
            # middleware asks every few seconds.
            out = self._node.create_publisher(Image, f"camera/{camera}/image_raw", COMMAND)
            self._images_out[camera] = out
            self._wait(f"{out.topic} heard", lambda out=out: out.get_subscription_count() > 0)

    def begin(self, number: int, instruction: str) -> None:
        """Begin an episode: the node starts anew, and knows what to do before it sees anything."""
        self._change(Transition.TRANSITION_DEACTIVATE)
        self._prefix = f"/episode_{number}"
        for known in (self._chunks, self._asked, self._shown):
            known.clear()
        self._instruction_out.publish(String(data=instruction))
        self._say_ready()
        for out in (self._instruction_out, self._arm_out):
            self._acknowledged(out)
        # The request is served after what has come before it.
        self._change(Transition.TRANSITION_ACTIVATE)

    def step(self, moment: Moment) -> None:
        """Show a moment and wait for its command, and for the chunk that it comes from.

        Raises:
            NodeError: no answer in time.
        """
        self._show(moment, sure=True)
        again = time.monotonic() + RESEND_PERIOD

        def answered() -> bool:
            nonlocal again
            if time.monotonic() > again:
                again += RESEND_PERIOD
                self._state_out.publish(moment.state)
            return self._shown[moment.stamp] is not None

        self._wait(f"ee_command for {moment.nanoseconds * 1e-9:.3f} s", answered)
        command = self._shown[moment.stamp]
        self._shown = {moment.stamp: command}
        if command is not None and command.mode == EndEffectorCommand.MOVE:
            key = _key(command.observation_stamp, command.sequence)
            self._wait(f"action_chunk {key[1]}", lambda: self._chunks.get(key) == _WRITTEN)

    def play(self, moment: Moment, due: float) -> float:
        """Show a moment at a time of the steady clock [s]; returns how late it was [s]."""
        self._spin_until(due)
        late = time.monotonic() - due
        self._show(moment, sure=False)
        return late

    def end(self, late: float) -> None:
        """Take what is still under way for so long [s]."""
        self._spin_until(time.monotonic() + late)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _show(self, moment: Moment, *, sure: bool) -> None:
        """Publish a moment; where it must be sure, the images are there before the state is."""
        for camera, image in moment.images:
            if camera in self._images_out:
                self._images_out[camera].publish(image)
        if sure:
            for camera in {camera for camera, _ in moment.images} & set(self._images_out):
                self._acknowledged(self._images_out[camera])
        self._shown.setdefault(moment.stamp, None)
        self._say_ready()  # for the node an arm that is silent for long cannot follow
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(moment.nanoseconds, 1_000_000_000)
        self._clock_out.publish(clock)
        self._state_out.publish(moment.state)

    # What comes in.

    def _take_command(self, raw: bytes) -> None:
        command = deserialize_message(raw, EndEffectorCommand)
        stamp = command.header.stamp
        nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec
        if self._shown.get(nanoseconds, command) is not None:
            return  # said again, or said to the episode before
        self._shown[nanoseconds] = command
        self._answers.write(f"{self._prefix}/ee_command", COMMAND_TYPE, raw, nanoseconds * 1e-9)
        if command.mode == EndEffectorCommand.MOVE:
            key = _key(command.observation_stamp, command.sequence)
            self._asked.setdefault(key, nanoseconds)
            self._keep(key)

    def _take_chunk(self, raw: bytes) -> None:
        chunk = deserialize_message(raw, ActionChunk)
        key = _key(chunk.header.stamp, chunk.sequence)
        self._chunks.setdefault(key, raw)
        self._keep(key)

    def _keep(self, key: tuple[int, int]) -> None:
        """Write a chunk once it has come and was played, at the stamp of the state that asked."""
        if key in self._asked and (raw := self._chunks.get(key)):
            self._answers.write(f"{self._prefix}/action_chunk", CHUNK, raw, self._asked[key] * 1e-9)
            self._chunks[key] = _WRITTEN

    # The node.

    def _say_ready(self) -> None:
        self._arm_out.publish(ArmStatus(state=ArmStatus.READY, backend="bag_player"))

    def _acknowledged(self, out: Any) -> None:
        if not out.wait_for_all_acked(Duration(seconds=self._timeout)):
            raise NodeError(out.topic, got="no acknowledgement", expected=f"in {self._timeout} s")

    def _change(self, transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        future = self._change_client.call_async(request)
        self._wait(f"transition {transition} of {POLICY}", future.done)
        answer = future.result()
        if answer is None or not answer.success:
            raise NodeError(f"transition {transition}", got="a refusal", expected="it done")

    def _is_active(self) -> bool:
        future = self._state_client.call_async(GetState.Request())
        self._wait(f"state of {POLICY}", future.done)
        answer = future.result()
        return answer is not None and answer.current_state.id == State.PRIMARY_STATE_ACTIVE

    def _ears(self) -> set[str]:
        """What the node listens to, without the namespace."""
        space = self._node.get_namespace()
        try:
            found = self._node.get_subscriber_names_and_types_by_node(POLICY, space)
        except Exception:  # rclpy raises one of its own while the node is not known yet
            return set()
        return {name.removeprefix(space).lstrip("/") for name, _ in found}

    def _cameras(self) -> set[str]:
        return {name.split("/")[1] for name in self._ears() if name.startswith("camera/")}

    def _wait(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + self._timeout
        while not done():
            if time.monotonic() > end:
                raise NodeError(what, got=f"nothing within {self._timeout} s", expected="it")
            self._executor.spin_once(timeout_sec=0.05)

    def _spin_until(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)


def _key(stamp: Any, sequence: int) -> tuple[int, int]:
    return stamp.sec * 1_000_000_000 + stamp.nanosec, int(sequence)


def play(player: BagPlayer, bag: Path, mode: str, rate: float) -> tuple[int, float]:
    """Play all episodes.

    Args:
        player: connected.
        bag: a playable file.
        mode: ``step`` or ``real_time``.
        rate: seconds of the bag in a second (``real_time``).

    Returns:
        How many states were shown, and how late the latest of them was (``real_time``) [s].
    """
    shown, latest = 0, 0.0
    for number, instruction, moments in episodes(bag):
        player.begin(number, instruction)
        first: tuple[float, int] | None = None
        for moment in moments:
            if mode == "step":
                player.step(moment)
            else:
                first = first or (time.monotonic(), moment.nanoseconds)
                due = first[0] + (moment.nanoseconds - first[1]) * 1e-9 / rate
                latest = max(latest, player.play(moment, due))
            shown += 1
        if mode == "real_time":
            player.end(LATE)
        print(f"episode {number}: {instruction}", flush=True)
    return shown, latest


def main(argv: Sequence[str] | None = None) -> int:
    """Play a bag; exit code 0 when all of it was played and answered."""
    parser = argparse.ArgumentParser(description="Play a bag into policy_node.")
    add: Any = parser.add_argument
    add("--bag", type=Path, required=True, help="what `vla bag playable` made")
    add("--answers", type=Path, required=True, help="the .mcap file of the answers")
    add("--mode", choices=("step", "real_time"), default="step")
    add("--rate", type=float, default=1.0, help="seconds of the bag in a second (real_time)")
    add("--namespace", default="", help="namespace of policy_node")
    add("--timeout", type=float, default=120.0, help="for each answer of the node [s]")
    arguments = parser.parse_args(argv)
    player = None
    try:
        with BagWriter(arguments.answers) as answers:
            player = BagPlayer(arguments.namespace, answers, arguments.timeout)
            player.connect()
            shown, latest = play(player, arguments.bag, arguments.mode, arguments.rate)
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if player is not None:
            player.close()
    how = "and answered" if arguments.mode == "step" else f"at most {1e3 * latest:.0f} ms late"
    print(f"{shown} states were shown, {how}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
