"""Where the time goes from an image's stamp to the motor target, stage by stage, in the ROS graph.

python benchmarks/control_loop.py --json benchmarks/results/control_loop.json

The real launch file, paced. Every message is timed by when its writer published it (DDS's source
stamp), and read with many others some time later, so that looking on takes little from the nodes.
An image's stamp counts from the ``/clock`` of the same stamp, which the simulator publishes before
it renders. ``overhead_ms`` is, a chunk, the time from there to the first command that follows it,
less what the model took and less the wait for the arm's next state, which is the arm's pace and not
the nodes' doing; ``stages_ms`` has all.
A goal's first chunk is left out: its picture was there before the goal, and waited for it.
``holds`` and ``arm_stops`` count what interrupted goals, from first chunk to end, by cause.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from vla_msgs.msg import ActionChunk, ArmStatus, EndEffectorCommand, EndEffectorState

from vla_arm.command import Reason
from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import percentiles
from vla_distill.graph import launched
from vla_policy.chunking import CHUNKINGS
from vla_policy_node.client import SimulationClient
from vla_policy_node.pilot import NO_INSTRUCTION

READY_SECONDS, STOP_SECONDS = 180.0, 60.0
LISTEN_PERIOD = 0.2
"""Messages wait so long to be read, a dozen of a topic at most [s]."""
LONGEST_TICK = 0.1
"""Stamps farther apart than this lie on either side of a reset [s]."""
TARGETS = {"overhead_median": 5.0, "overhead_p99": 20.0, "interval_p99": 30.0, "factor": 0.98}
"""What the project asks for [ms; 1]."""
TOPICS = {
    "/clock": Clock,
    "joint_states": JointState,
    "ee_state": EndEffectorState,
    "ee_command": EndEffectorCommand,
    "joint_commands": JointState,
    "action_chunk": ActionChunk,
    "arm_status": ArmStatus,
    "camera/front/image_raw": Image,
    "camera/wrist/image_raw": Image,
}


class Tap:
    """Notes when each message was published; thread of its own.

    Attributes:
        times: topic -> stamp [ms] -> publication [s].
        chunks: by stamp [ms], but a goal's first: milliseconds of its stages.
        first_use: chunk's stamp [ms] -> stamp of the first command that follows it [ms].
        follows: command's stamp [ms] -> stamp of the observation behind it [ms].
        holds: commands that held during goals, by their reason without its numbers.
        stops: times that the arm stopped following during goals, by :class:`Reason`.
    """

    def __init__(self) -> None:
        self.times: dict[str, dict[int, float]] = {topic: {} for topic in TOPICS}
        self.chunks: dict[int, dict[str, float]] = {}
        self.first_use: dict[int, int] = {}
        self.follows: dict[int, int] = {}
        self._following_since, self._stopped = math.inf, ""
        self.holds: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self._context = Context()
        self._context.init()
        self._node = Node("control_loop_tap", context=self._context, start_parameter_services=False)
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
        ignore = lambda message: None  # noqa: E731
        self._subscriptions = [
            (topic, kind, self._node.create_subscription(kind, topic, ignore, qos, raw=True))
            for topic, kind in TOPICS.items()
        ]
        self._reading, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph."""
        self._closed.set()
        self._thread.join(STOP_SECONDS)
        self._node.destroy_node()
        self._context.try_shutdown()

    def _listen(self) -> None:
        # Not by an executor: woken for each message, it took a fifth of a core from the nodes.
        while not self._closed.wait(LISTEN_PERIOD):
            self._read()

    def _read(self) -> None:
        """Take all messages that wait."""
        with self._reading:
            for topic, kind, subscription in self._subscriptions:
                with subscription.handle:
                    while taken := subscription.handle.take_message(subscription.msg_type, True):
                        self._take(topic, kind, *taken)

    def _take(self, topic: str, kind: type, raw: bytes, info: Mapping[str, int]) -> None:
        # Only the header of an image: its first three numbers behind the encapsulation.
        if kind is Image:
            sec, nanosec = np.frombuffer(raw[4:12], "<i4, <u4")[0].item()
            stamp = round(1e3 * sec + 1e-6 * nanosec)
        else:
            message = deserialize_message(raw, kind)
            stamp = _key(message.clock if kind is Clock else message.header.stamp)
        published = info["source_timestamp"] * 1e-9
        self.times[topic].setdefault(stamp, published)
        following = published > self._following_since
        if kind is ActionChunk:
            if message.sequence == 0:
                return
            report = message.report
            self.chunks[stamp] = dict(zip(report.stages, report.milliseconds, strict=True))
        elif kind is EndEffectorCommand and message.mode == EndEffectorCommand.MOVE:
            seen = _key(message.observation_stamp)
            self.follows[stamp] = seen
            self.first_use.setdefault(seen, stamp)
        elif kind is EndEffectorCommand and following and message.reason != NO_INSTRUCTION:
            self.holds[re.sub(r"\d[\d.]*", "#", message.reason)] += 1
        elif kind is ArmStatus:
            self._see_arm(message, following)

    def _see_arm(self, message: ArmStatus, following: bool) -> None:
        willing = message.state in (ArmStatus.READY, ArmStatus.MOVING)
        stopped = "" if willing else Reason(message.reason).name
        if following and stopped and stopped != self._stopped:
            self.stops[stopped] += 1
        self._stopped = stopped

    def follow(self, _: Any = None) -> None:
        """Count interruptions from now on, if they are not counted yet."""
        self._following_since = min(self._following_since, time.time())

    def rest(self) -> None:
        """Count them no more."""
        self._read()
        self._following_since = math.inf


def _key(stamp: Any) -> int:
    return round(1e3 * stamp.sec + 1e-6 * stamp.nanosec)


def stages(tap: Tap) -> dict[str, list[float]]:
    """Milliseconds of each stage, one entry a chunk or a tick."""
    at = tap.times
    cameras = [at[topic] for topic in TOPICS if TOPICS[topic] is Image]
    found: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(1e3 * seconds)

    for stamp, parts in tap.chunks.items():
        used = tap.first_use.get(stamp)
        known = [at["/clock"], at["action_chunk"], *cameras]
        if used is None or any(stamp not in each for each in known):
            continue
        if any(used not in at[topic] for topic in ("ee_state", "ee_command", "joint_commands")):
            continue
        begin, model = at["/clock"][stamp], 1e-3 * parts["total"]
        images = max(camera[stamp] for camera in cameras)
        chunk, state = at["action_chunk"][stamp], at["ee_state"][used]
        answer = at["ee_command"][used]
        waited = max(state - chunk, 0.0)
        note("render", images - begin)
        note("image_to_model", chunk - images - model)
        for name, milliseconds in parts.items():
            note(f"model_{name}", 1e-3 * milliseconds)
        note("wait_for_state", waited)
        note("command", answer - max(chunk, state))
        note("overhead", answer - begin - model - waited)
    for stamp, seen in tap.follows.items():
        sent = at["joint_commands"].get(stamp)
        if sent is None or stamp not in at["ee_command"] or seen not in at["/clock"]:
            continue
        note("motor_target", sent - at["ee_command"][stamp])
        note("age", sent - at["/clock"][seen])
    return found


def intervals(times: Mapping[int, float]) -> tuple[list[float], float]:
    """Milliseconds between ticks, resets left out, and simulated seconds in a real one."""
    stamps = np.array(sorted(times), float) * 1e-3
    steps, walls = np.diff(stamps), np.diff([times[stamp] for stamp in sorted(times)])
    whole = (steps <= LONGEST_TICK) & (walls > 0.0)
    factor = float(steps[whole].sum() / walls[whole].sum()) if whole.any() else float("nan")
    return list(1e3 * walls[whole]), factor


def measure(arguments: argparse.Namespace) -> Tap:
    """Follow instructions for a while, with a tap on the topics."""
    policy = arguments.policy
    words = [f"policy:={Path(policy).resolve() if Path(policy).is_dir() else policy}"]
    words += [f"device:={arguments.device}", f"chunking:={arguments.chunking}", "log_level:=warn"]
    with launched(words), SimulationClient() as client:
        client.wait_until_ready(READY_SECONDS)
        # Once before it counts: shared memory, caches and clocks are warm then.
        scene = client.reset(arguments.task, arguments.seed)
        client.execute(scene.instruction, time_limit=2.0)
        tap, end, seed = Tap(), time.monotonic() + arguments.seconds, arguments.seed
        try:
            while (left := end - time.monotonic()) > 0.0:
                seed += 1
                scene = client.reset(arguments.task, seed)
                limit = min(scene.time_limit, left + 0.5)
                client.execute(scene.instruction, limit, seed=seed, on_feedback=tap.follow)
                tap.rest()
        finally:
            tap.close()
    return tap


def parser(description: str | None, seconds: float) -> argparse.ArgumentParser:
    """The arguments of a run of so many seconds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--policy", default="checkpoints/teacher", help="checkpoint folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--chunking", default="switch", choices=sorted(CHUNKINGS))
    parser.add_argument("--task", default="pick")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--seconds", type=float, default=seconds, help="how long to measure [s]")
    parser.add_argument("--json", type=Path, help="write the result here")
    return parser


def command_intervals(tap: Tap) -> list[float]:
    """Milliseconds between the motor targets that follow commands, in their order."""
    sent = tap.times["joint_commands"]
    return intervals({stamp: sent[stamp] for stamp in tap.follows if stamp in sent})[0]


def record(tap: Tap, arguments: argparse.Namespace) -> dict[str, Any]:
    """What was measured, and where and how."""
    parts = stages(tap)
    _, factor = intervals(tap.times["joint_states"])
    return {
        "age_ms": percentiles(parts.pop("age", [])),
        "overhead_ms": percentiles(parts.pop("overhead", [])),
        "interval_ms": percentiles(command_intervals(tap)),
        "real_time_factor": factor,
        "stages_ms": {name: percentiles(values) for name, values in parts.items()},
        "chunks": len(tap.chunks),
        "commands": len(tap.follows),
        "commands_without_target": len(tap.follows.keys() - tap.times["joint_commands"].keys()),
        "holds": dict(tap.holds),
        "arm_stops": dict(tap.stops),
        "targets": TARGETS,
        **{name: getattr(arguments, name) for name in ("policy", "device", "chunking", "task")},
        "seconds": arguments.seconds,
        "commit": commit(),
        "machine": machine(),
        "command": command(),
    }


def show(record: Mapping[str, Any]) -> None:
    """Print a record."""
    rows = {name: record[f"{name}_ms"] for name in ("age", "overhead", "interval")}
    for name, value in {**rows, **record["stages_ms"]}.items():
        print(f"{name:18s}" + "".join(f"  {key} {ms:8.2f}" for key, ms in value.items()) + " ms")
    print(f"real-time factor {record['real_time_factor']:.3f}; {record['chunks']} chunks")
    print(f"commands that held: {record['holds']}; the arm stopped: {record['arm_stops']}")


def write(record: Mapping[str, Any], path: Path | None) -> None:
    """Write a record, if there is a path for it."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    arguments = parser(__doc__, seconds=60.0).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a polite kill ends the nodes too
    found = record(measure(arguments), arguments)
    show(found)
    write(found, arguments.json)


if __name__ == "__main__":
    main()
