"""What the live policy_node saw and what a bag of it gives are the same, to the bit."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph import overrides
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from vla_msgs.msg import ArmStatus, EndEffectorState

from vla_distill.bags.content import read_bag
from vla_distill.bags.replay import observation_of, replay
from vla_policy.contract import Observation
from vla_policy.conversions import pose_to_message, set_stamp
from vla_policy.image_conversion import rgb_to_image
from vla_policy_node.policy_node import PolicyNode
from vla_policy_node.qos import COMMAND, LATCHED
from vla_policy_node.recorder_node import RecorderNode

sys.path.insert(0, str(Path(__file__).parents[1] / "doubles"))
import digest_policy

CAMERAS = ("front", "wrist")
STATES = 150
START = 1_763_000_000.123456789
"""As on a robot: a float of seconds resolves a quarter of a microsecond [s]."""
TIMEOUT = 60.0


class KeepingPolicy(digest_policy.DigestPolicy):
    """Keeps what it saw."""

    def __init__(self) -> None:
        self.seen: dict[float, Observation] = {}

    def _one(self, observation: Observation, memory: Any) -> Any:
        self.seen[observation.stamp] = observation
        return super()._one(observation, memory)


class LiveRobot:
    """policy_node, recorder_node and a robot that goes its own way, in one executor."""

    def __init__(self, bag: Path, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.policy, self.transport = KeepingPolicy(), transport
        monkeypatch.setattr(digest_policy, "make", lambda device: self.policy)
        self.context = Context()
        self.context.init()
        common = {"image_transport": transport}
        policy = overrides(policy="python:digest_policy.make", warm_up=0, **common)
        self.policy_node = PolicyNode(context=self.context, parameter_overrides=policy)
        self.recorder = RecorderNode(
            context=self.context, parameter_overrides=overrides(bag=str(bag), **common)
        )
        self.node = Node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.recorder, self.policy_node, self.node):
            self.executor.add_node(node)
        kind = Image if transport == "raw" else CompressedImage
        suffix = "" if transport == "raw" else "/compressed"
        make = self.node.create_publisher
        self.images = {
            name: make(kind, f"camera/{name}/image_raw{suffix}", qos_profile_sensor_data)
            for name in CAMERAS
        }
        self.states = make(EndEffectorState, "ee_state", COMMAND)
        self.arm = make(ArmStatus, "arm_status", LATCHED)
        self.instruction = make(String, "instruction", LATCHED)
        self.rng = np.random.default_rng(0)

    def start(self) -> None:
        for node in (self.recorder, self.policy_node):
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        for out in (*self.images.values(), self.states, self.arm, self.instruction):
            self.wait(out.topic, lambda out=out: out.get_subscription_count() == 2)
        self.arm.publish(ArmStatus(state=ArmStatus.READY))
        self.instruction.publish(String(data="go up"))
        self.wait("the instruction", lambda: self.policy_node._wanted == "go up")
        self.wait("READY", lambda: self.policy_node._arm.state == ArmStatus.READY)

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while not done():
            assert time.monotonic() < end, f"{what}: not within {TIMEOUT} s"
            self.executor.spin_once(timeout_sec=0.02)

    def run(self) -> None:
        """States at 50 Hz; each camera at 12 Hz with a phase of its own, between the states."""
        for tick in range(STATES):
            for place, camera in enumerate(CAMERAS):
                if (tick + 2 * place) % 4 == 0:
                    self._image(camera, START + tick * 0.02 - 0.007 - 0.004 * place)
            self._state(START + tick * 0.02, tick)
            before = self.policy_node._answered
            self.wait("an answer", lambda before=before: self.policy_node._answered != before)
            # States may come much faster than 50 Hz here: no chunk shall be late for that.
            self.wait("a chunk", lambda: not self.policy_node._inference.busy)

    def _image(self, camera: str, stamp: float) -> None:
        pixels = self.rng.integers(0, 256, (24, 32, 3), np.uint8)
        if self.transport == "raw":
            message: Any = Image()
            rgb_to_image(pixels, message)
        else:
            import cv2

            data = cv2.imencode(".jpg", pixels)[1].tobytes()
            message = CompressedImage(format="jpeg", data=data)
        set_stamp(message.header.stamp, stamp)
        self.images[camera].publish(message)

    def _state(self, stamp: float, tick: int) -> None:
        message = EndEffectorState(gripper_measured=0.05, gripper_commanded=0.04)
        pose = np.array([0.3, 0.0, 0.1 + 1e-3 * tick, 0.1, 1.5 + 1e-3 * tick, -0.2])
        for part in (message.measured, message.commanded):
            pose_to_message(pose, part)
        set_stamp(message.header.stamp, stamp)
        self.states.publish(message)

    def close(self) -> None:
        for node in (self.policy_node, self.recorder):
            node.leave()
        self.executor.shutdown()
        for node in (self.policy_node, self.recorder, self.node):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(params=["raw", "compressed"])
def robot(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveRobot]:
    robot = LiveRobot(tmp_path / "a.mcap", request.param, monkeypatch)
    try:
        robot.start()
        yield robot
    finally:
        robot.close()


def test_a_bag_gives_the_observations_of_the_live_node_to_the_bit(robot, tmp_path):
    robot.run()
    robot.wait("the last chunk", lambda: not robot.policy_node._inference.busy)
    wanted = robot.policy_node.pilot.chunks
    counts = robot.recorder.bag.counts
    robot.wait("all chunks", lambda: counts.get("/action_chunk", 0) == wanted)
    robot.wait("all states", lambda: counts["/ee_state"] == STATES)
    robot.recorder.leave()
    bag = read_bag(tmp_path / "a.mcap")
    assert not bag.faults and len(bag.states) == STATES
    assert len(bag.chunks) == wanted > 8
    # Images lie between states, so an observation is made of two; the first may lie before all.
    between = ["ee_state_after" in entry.value.chunk.input_stamps for entry in bag.chunks]
    assert sum(between) >= len(between) - 1
    for entry in bag.chunks:
        again = observation_of(bag, entry)
        (live,) = (o for t, o in robot.policy.seen.items() if abs(t - again.stamp) < 1e-6)
        assert again.state.tobytes() == live.state.tobytes()
        assert again.stamp == live.stamp and again.instruction == live.instruction
        assert again.input_stamps == live.input_stamps
        assert sorted(again.images) == sorted(live.images) == sorted(CAMERAS)
        for camera in CAMERAS:
            assert np.array_equal(again.images[camera], live.images[camera])
    # The policy's numbers hang on every byte of the observation: all come out the same.
    results = replay(bag, digest_policy.DigestPolicy())
    assert all(result.equal for result in results), [r for r in results if not r.equal][:3]
