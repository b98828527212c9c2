"""What two cameras of 640x480 at 30 Hz cost the policy: its inference rate with them and without.

python benchmarks/camera_cost.py --json benchmarks/results/camera_cost.json

policy_node in a process of its own asks for the next chunk as soon as one is there. This process is
arm and cameras: a state every 20 ms, and pictures at full rate or, in turns, one a second, with
which a chunk can be computed but hardly anything is received. (Of pictures older than the states
that the node remembers, four seconds, it could compute none.) The rate is counted in chunks a
second, so everything counts: taking the messages, conversion, resizing, waiting for Python's lock,
and what the pictures' transport costs on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from vla_msgs.msg import ActionChunk, ArmStatus, EndEffectorState

from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import percentiles
from vla_distill.graph import graph_environment, stop
from vla_policy.conversions import pose_to_message, seconds, set_stamp
from vla_policy.image_conversion import fit_image, image_to_rgb, rgb_to_image
from vla_policy_node.lifecycle import run
from vla_policy_node.policy_node import PolicyNode
from vla_policy_node.qos import COMMAND, LATCHED, REPORT

STATE_PERIOD, STATUS_PERIOD, SELDOM = 0.02, 0.5, 1.0
"""Between states, arm statuses, and pictures of cameras that are as good as none [s]."""
READY_SECONDS, SETTLE_SECONDS = 120.0, 1.0
POSE = np.array([0.3, 0.0, 0.2, 0.0, np.pi / 2, 0.0])
"""Where the arm stands: position [m] and rotation vector [rad]."""
POLICY_SIZE = 96
"""Side of the pictures that the policy sees [px]."""
CLAIM = 0.9
"""Share of its rate that the policy shall keep, at least."""


class EagerPolicyNode(PolicyNode):
    """Asks for a chunk as soon as it has the one before."""

    def _on_thought(self) -> None:
        super()._on_thought()
        if self.pilot.newest is not None and self._inference and not self._inference.busy:
            self.pilot._ask()


def serve(policy: str) -> None:
    """Run the policy's node until SIGINT."""

    def make() -> EagerPolicyNode:
        values = {"policy": policy, "instruction": "pick up the red cube", "image_timeout": 10.0}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = EagerPolicyNode(parameter_overrides=overrides)
        node.trigger_configure()
        node.trigger_activate()
        return node

    run(make)


class Robot:
    """The arm and the cameras as their topics.

    Args:
        size: height and width of the pictures [px].
        rate: of each camera at full rate [Hz].

    Attributes:
        chunks: when each chunk came, by the steady clock [s].
        fast: whether the cameras run at full rate.
        ages: of the older picture behind each chunk when it came, with cameras at full rate [s].
    """

    def __init__(self, size: tuple[int, int], rate: float) -> None:
        self.chunks: list[float] = []
        self.fast = False
        self.ages: list[float] = []
        self._node = Node("camera_cost")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._state_out = self._node.create_publisher(EndEffectorState, "ee_state", COMMAND)
        self._status_out = self._node.create_publisher(ArmStatus, "arm_status", LATCHED)
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        message = Image()
        rgb_to_image(pixels, message)
        self._picture = bytearray(serialize_message(message))
        self._images = [
            self._node.create_publisher(Image, f"camera/{name}/image_raw", qos_profile_sensor_data)
            for name in ("front", "wrist")
        ]
        self._seen = -SELDOM
        self._node.create_timer(STATE_PERIOD, self._say_state)
        self._node.create_timer(STATUS_PERIOD, self._say_status)
        self._node.create_timer(1.0 / rate, self._show)
        self._node.create_subscription(ActionChunk, "action_chunk", self._take, REPORT)

    def spin(self, duration: float, until: Callable[[], bool] = lambda: False) -> None:
        """Be the robot for so long [s], or until something holds."""
        end = time.monotonic() + duration
        while time.monotonic() < end and not until():
            self._executor.spin_once(STATE_PERIOD)

    def rate(self, fast: bool, duration: float) -> float:
        """Chunks a second with cameras at full rate, or with hardly any, over so long [s]."""
        self.fast = fast
        self.spin(SETTLE_SECONDS)
        begin, before = time.monotonic(), len(self.chunks)
        self.spin(duration)
        return (len(self.chunks) - before) / (time.monotonic() - begin)

    def _take(self, chunk: ActionChunk) -> None:
        self.chunks.append(time.monotonic())
        if self.fast:
            self.ages.append(self._now() - seconds(chunk.header.stamp))

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _say_state(self) -> None:
        message = EndEffectorState()
        set_stamp(message.header.stamp, self._now())
        message.header.frame_id = "base_link"
        pose_to_message(POSE, message.measured)
        pose_to_message(POSE, message.commanded)
        message.gripper_measured = message.gripper_commanded = 0.08
        self._state_out.publish(message)

    def _say_status(self) -> None:
        self._status_out.publish(ArmStatus(state=ArmStatus.READY))

    def _show(self) -> None:
        now = time.monotonic()
        if not self.fast and now - self._seen < SELDOM:
            return
        self._seen = now
        # The stamp lies behind the four bytes of the encapsulation.
        stamp = divmod(self._node.get_clock().now().nanoseconds, 1_000_000_000)
        self._picture[4:12] = np.array(stamp, "<u4").tobytes()
        for publisher in self._images:
            publisher.publish(bytes(self._picture))


def conversion(size: tuple[int, int], repeats: int = 200) -> dict[str, Mapping[str, float]]:
    """What one picture costs when a chunk is asked for: percentiles of each stage [ms]."""
    message = Image()
    rgb_to_image(np.zeros((*size, 3), np.uint8), message)
    raw = serialize_message(message)
    spans: dict[str, list[float]] = {"deserialise": [], "convert": [], "resize": []}
    for _ in range(repeats):
        marks = [time.perf_counter()]
        received = deserialize_message(raw, Image)
        marks.append(time.perf_counter())
        pixels = image_to_rgb(received)
        marks.append(time.perf_counter())
        fit_image(pixels, POLICY_SIZE)
        marks.append(time.perf_counter())
        for name, begin, end in zip(spans, marks, marks[1:], strict=False):
            spans[name].append(1e3 * (end - begin))
    return {name: percentiles(values) for name, values in spans.items()}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Rates in turns: without cameras, with them."""
    environment = graph_environment()
    os.environ.update(environment)
    words = [sys.executable, __file__, "--policy", arguments.policy, "--serve"]
    node = subprocess.Popen(words, env=environment, start_new_session=True)
    try:
        rclpy.init()
        robot = Robot((arguments.height, arguments.width), arguments.rate)
        robot.spin(READY_SECONDS, until=lambda: len(robot.chunks) > 10)
        if len(robot.chunks) <= 10:
            raise SystemExit("the policy's node gave no chunks")
        turns = [
            (robot.rate(False, arguments.seconds), robot.rate(True, arguments.seconds))
            for _ in range(arguments.turns)
        ]
    finally:
        stop(node)
    without, with_cameras = (np.array(rates) for rates in zip(*turns, strict=True))
    ratios = with_cameras / without
    return {
        "chunks_per_second_without": percentiles(without.tolist()),
        "chunks_per_second_with": percentiles(with_cameras.tolist()),
        "ratios": ratios.tolist(),
        "kept": float(np.median(ratios)),
        "picture_age_ms": percentiles([1e3 * age for age in robot.ages]),
        "claim": CLAIM,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default="checkpoints/teacher", help="checkpoint folder")
    parser.add_argument("--width", type=int, default=640, help="of the pictures [px]")
    parser.add_argument("--height", type=int, default=480, help="of the pictures [px]")
    parser.add_argument("--rate", type=float, default=30.0, help="of each camera [Hz]")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn [s]")
    parser.add_argument("--turns", type=int, default=5, help="pairs of turns")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.policy)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a polite kill ends the node too
    found = measure(arguments)
    names = ("policy", "width", "height", "rate", "seconds", "turns")
    found |= {name: getattr(arguments, name) for name in names}
    found["conversion_ms"] = conversion((arguments.height, arguments.width))
    found |= {"commit": commit(), "machine": machine(), "command": command()}
    print(
        f"{found['chunks_per_second_without']['median']:.1f} chunks/s without cameras,"
        f" {found['chunks_per_second_with']['median']:.1f} with: {found['kept']:.1%} kept"
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
