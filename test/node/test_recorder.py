"""recorder_node by itself: its marks, its files, what it says of itself."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from graph import overrides
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_msgs.msg import EndEffectorState

from vla_distill.bags.content import read_bag
from vla_distill.bags.episode import split
from vla_policy.conversions import set_stamp
from vla_policy_node.lifecycle import ERROR, OK, WARN
from vla_policy_node.qos import COMMAND, LATCHED
from vla_policy_node.recorder_node import RecorderNode

SUCCESS = TransitionCallbackReturn.SUCCESS
TIMEOUT = 30.0


class Studio:
    """A recorder, and somebody who speaks."""

    def __init__(self, bag: Path, **settings: Any) -> None:
        self.context = Context()
        self.context.init()
        given = overrides(bag=str(bag), cameras=["front"], **settings)
        self.recorder = RecorderNode(context=self.context, parameter_overrides=given)
        self.node = Node("speaker", namespace="/", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.recorder, self.node):
            self.executor.add_node(node)
        make = self.node.create_publisher
        self.states = make(EndEffectorState, "ee_state", COMMAND)
        self.images = make(Image, "camera/front/image_raw", qos_profile_sensor_data)
        self.instruction = make(String, "instruction", LATCHED)

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while not done():
            assert time.monotonic() < end, f"{what}: not within {TIMEOUT} s"
            self.executor.spin_once(timeout_sec=0.05)

    def start(self) -> None:
        assert self.recorder.trigger_configure() == SUCCESS
        assert self.recorder.trigger_activate() == SUCCESS
        for out in (self.states, self.images, self.instruction):
            self.wait(out.topic, lambda out=out: out.get_subscription_count() > 0)

    def say(self, out: Any, message: Any, stamp: float | None = None) -> None:
        if stamp is not None:
            set_stamp(message.header.stamp, stamp)
        name = out.topic.lstrip("/")
        before = self.count(name) + self.recorder._repeated
        out.publish(message)
        self.wait(name, lambda: self.count(name) + self.recorder._repeated > before)

    def count(self, topic: str) -> int:
        bag = self.recorder._bag
        return bag.counts.get(f"/{topic}", 0) if bag else 0

    def state(self, stamp: float) -> None:
        message = EndEffectorState()
        for pose in (message.measured, message.commanded):
            pose.position.x, pose.orientation.w = 0.3 + 0.01 * stamp, 1.0
        self.say(self.states, message, stamp)

    def image(self, stamp: float) -> None:
        message = Image(height=2, width=2, encoding="rgb8", step=6, data=bytes(range(12)))
        self.say(self.images, message, stamp)

    def call(self, name: str) -> Trigger.Response:
        client = self.node.create_client(Trigger, name)
        self.wait(name, client.service_is_ready)
        future = client.call_async(Trigger.Request())
        marks = self.count("episode_mark")
        self.wait(f"answer of {name}", future.done)
        answer = future.result()
        if answer.success:
            self.wait(f"mark of {name}", lambda: self.count("episode_mark") > marks)
        return answer

    def close(self) -> None:
        self.recorder.leave()
        self.executor.shutdown()
        for node in (self.recorder, self.node):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "bag.mcap", instruction="fold the cloth")
    try:
        studio.start()
        yield studio
    finally:
        studio.close()


def test_an_operator_marks_episodes_by_services(studio, tmp_path):
    assert "nothing is recorded yet" in studio.call("start_episode").message
    assert studio.recorder.health()[0] == WARN and "camera/front" in studio.recorder.health()[1]
    studio.image(1.0)
    studio.state(1.0)
    assert studio.recorder.health()[0] == OK
    assert "start_episode comes first" in studio.call("mark_success").message
    assert studio.call("start_episode").success
    studio.state(1.5)
    assert studio.call("mark_success").success
    studio.state(2.0)
    assert studio.call("end_episode").success
    studio.state(2.5)
    assert studio.call("start_episode").success
    studio.state(3.0)
    studio.close()  # as at Ctrl-C: the open episode ends
    bag = read_bag(tmp_path / "bag.mcap")
    first, second = split(bag)
    assert not bag.faults
    assert (first.start, first.end, first.success) == (1.0, 2.0, True)
    assert (second.start, second.end, second.success) == (2.5, 3.0, None)
    assert first.instruction == second.instruction == "fold the cloth"
    assert [e.value.source for e in bag.marks] == ["recorder_node"] * 5


def test_what_is_said_again_is_written_once_but_an_instruction_each_time(studio, tmp_path):
    for _ in range(3):
        studio.state(1.0)
        studio.image(1.0)
    studio.state(1.02)
    for _ in range(2):
        studio.say(studio.instruction, String(data="go"))
    assert studio.count("ee_state") == 2 and studio.count("camera/front/image_raw") == 1
    assert studio.count("instruction") == 2
    assert studio.recorder._repeated == 4


def test_every_instruction_is_written_however_slow_the_disk(studio):
    for number in range(20):  # nothing is taken meanwhile
        studio.instruction.publish(String(data=f"go {number}"))
    studio.wait("all of them", lambda: studio.count("instruction") == 20)


def test_bytes_between_the_fields_do_not_make_another_message(studio):
    message = EndEffectorState(gripper=0.04)
    set_stamp(message.header.stamp, 1.0)
    told = serialize_message(message)
    filled = bytearray(told)
    filled[17:20] = b"abc"  # behind the empty frame_id, up to the first pose
    other = bytearray(told)
    other[4] ^= 1  # another second
    assert deserialize_message(bytes(filled), EndEffectorState) == message
    for raw in (told, bytes(filled), bytes(other)):
        studio.say(studio.states, raw)
    assert studio.count("ee_state") == 2 and studio.recorder._repeated == 1


def test_a_bag_that_exists_is_not_touched_and_without_a_message_there_is_none(tmp_path):
    path = tmp_path / "bag.mcap"
    path.write_text("mine")
    studio = Studio(path)
    try:
        assert studio.recorder.trigger_configure() == TransitionCallbackReturn.FAILURE
    finally:
        studio.close()
    assert path.read_text() == "mine"
    studio = Studio(tmp_path / "other.mcap")
    try:
        studio.start()
    finally:
        studio.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag.mcap"]


def test_a_start_without_an_instruction_is_refused(tmp_path):
    studio = Studio(tmp_path / "bag.mcap")
    try:
        studio.start()
        studio.state(1.0)
        assert "no instruction" in studio.call("start_episode").message
        given = [Parameter("instruction", value="go")]
        assert studio.recorder.set_parameters(given)[0].successful
        assert studio.call("start_episode").success
    finally:
        studio.close()


@pytest.mark.parametrize("call", ["write", "flush"])
def test_a_disk_that_is_full_is_told(studio, monkeypatch, call):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    studio.state(1.0)
    monkeypatch.setattr(studio.recorder.bag, call, full)
    studio.states.publish(EndEffectorState())
    studio.wait("the failure", lambda: studio.recorder.health()[0] == ERROR)
    assert "No space left" in studio.recorder.health()[1]
