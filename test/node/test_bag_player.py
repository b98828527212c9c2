"""A bag played into a live policy_node: the same scores as without ROS, again and again."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graph import overrides
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from std_msgs.msg import String
from vla_msgs.msg import ArmStatus, EndEffectorCommand, EndEffectorState

from vla_distill.bags.content import read_bag
from vla_distill.bags.episode import split
from vla_distill.bags.errors import BagError
from vla_distill.bags.evaluation import EpisodeRun, judge, judge_runs
from vla_distill.bags.fault import FaultList
from vla_distill.bags.frames import reference
from vla_distill.bags.playable import read_answers, write_playable
from vla_distill.bags.step import StepConfig
from vla_policy.bag_writer import BagWriter
from vla_policy_node import bag_player
from vla_policy_node.bag_player import BagPlayer, play
from vla_policy_node.policy_node import PolicyNode
from vla_policy_node.qos import COMMAND, LATCHED

TEST = Path(__file__).parents[1]
sys.path[:0] = [str(TEST / "doubles"), str(TEST / "unit" / "vla_distill")]
import digest_policy  # noqa: E402
from test_bags import messages, write  # noqa: E402

TIMEOUT = 60.0


class LiveNode:
    """policy_node, active, in a thread of its own."""

    def __init__(self, **settings: Any) -> None:
        self.context = Context()
        self.context.init()
        common = {"policy": "python:digest_policy.make", "warm_up": 0, "reliable_images": True}
        given = overrides(**common, **settings)
        self.node = PolicyNode(context=self.context, parameter_overrides=given)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin)

    def start(self) -> None:
        self.thread.start()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        self.executor.shutdown()
        if self.thread.ident is not None:
            self.thread.join(TIMEOUT)
        self.node.leave()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def step_node() -> Iterator[LiveNode]:
    node = LiveNode(synchronous=True, synchronous_timeout=3.0, seed_by_stamp=True, seed=4)
    node.start()
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def bag(tmp_path: Path) -> Any:
    """Two episodes, one right after the other, and a third without a camera for half a second."""
    third = [m for m in messages(20.0, 2.0) if not ("wrist" in m[1] and 20.75 < m[0] < 21.25)]
    return read_bag(write(tmp_path / "a.mcap", [*messages(10.0), *messages(11.02), *third]))


def answered(bag: Any, folder: Path, mode: str = "step", rate: float = 1.0) -> Path:
    folder.mkdir()
    write_playable(bag, folder / "playable.mcap")
    with BagWriter(folder / "answers.mcap") as answers:
        player = BagPlayer("", answers, TIMEOUT)
        try:
            player.connect()
            play(player, folder / "playable.mcap", mode, rate)
        finally:
            player.close()
    return folder / "answers.mcap"


def scores(bag: Any, answers: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    episodes = split(bag)
    asked, node = read_answers(answers, bag, episodes)
    runs = [
        EpisodeRun(episode, chunks, reference(bag, episode))
        for episode, chunks in zip(episodes, asked, strict=True)
    ]
    return judge_runs(bag, runs, 2, FaultList(), 0.0).scores, node


def flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    rows = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in rows:
        if isinstance(value, dict | list):
            yield from flat(value, f"{name}/{key}")
        else:
            yield f"{name}/{key}", value


def test_step_mode_scores_as_without_ros_and_repeats_to_the_byte(step_node, bag, tmp_path):
    first, node = scores(bag, answered(bag, tmp_path / "one"))
    second, _ = scores(bag, answered(bag, tmp_path / "two"))
    assert json.dumps(first) == json.dumps(second)
    offline = judge(bag, digest_policy.DigestPolicy(), StepConfig(seed=4)).scores
    assert first["chunks"] == offline["chunks"] > 15
    here, there = dict(flat(first)), dict(flat(offline))
    assert here.keys() == there.keys()
    for name, value in there.items():
        wanted = pytest.approx(value, abs=1e-5) if isinstance(value, float) else value
        assert here[name] == wanted, name
    # Every state was answered; where the camera was missing, with the reason.
    assert node["states"] == 51 + 51 + 101
    assert 0 < node["held"] < 40 and any("wrist" in reason for reason in node["held_because"])


def test_a_state_is_answered_by_all_that_came_before_it():
    """However late the node wakes up: the first state of an episode is followed, not held."""
    live = LiveNode(synchronous=True)
    ear = Node("ear", context=live.context)
    commands: list[EndEffectorCommand] = []
    ear.create_subscription(EndEffectorCommand, "ee_command", commands.append, COMMAND)
    state = EndEffectorState()
    state.header.stamp.sec = 10
    state.measured.orientation.w = state.commanded.orientation.w = 1.0
    said = [
        (String, "instruction", String(data="rise")),
        (ArmStatus, "arm_status", ArmStatus(state=ArmStatus.READY)),
        (EndEffectorState, "ee_state", state),
    ]
    try:
        for kind, topic, message in said:
            out = ear.create_publisher(kind, topic, COMMAND if topic == "ee_state" else LATCHED)
            while not out.get_subscription_count():
                time.sleep(0.01)
            out.publish(message)
            assert out.wait_for_all_acked(Duration(seconds=TIMEOUT))
        live.executor.add_node(ear)
        end = time.monotonic() + TIMEOUT
        while not commands and time.monotonic() < end:
            live.executor.spin_once(timeout_sec=0.1)
        # It has waited for images, and did not say that there is nothing to follow.
        assert commands[0].reason == "camera front: no image yet"
    finally:
        live.close()
        ear.destroy_node()


def test_in_real_time_the_node_answers_what_it_can(bag, tmp_path, monkeypatch):
    monkeypatch.setattr(bag_player, "LATE", 1.0)
    waited: list[str] = []
    acknowledged = BagPlayer._acknowledged
    monkeypatch.setattr(
        BagPlayer, "_acknowledged", lambda s, out: waited.append(out.topic) or acknowledged(s, out)
    )
    live = LiveNode(seed_by_stamp=True)
    live.start()
    try:
        found, node = scores(bag, answered(bag, tmp_path / "one", "real_time", 0.25))
    finally:
        live.close()
    # A chunk is thought of a new picture: there cannot be more than the camera took.
    assert 3 <= found["chunks"] <= len(bag.images["front"])
    assert node["states"] > 50
    assert waited and not [topic for topic in waited if "camera" in topic]  # pictures may be lost


def test_answers_to_another_bag_are_refused(step_node, bag, tmp_path):
    answers = answered(bag, tmp_path / "one")
    other = read_bag(write(tmp_path / "b.mcap", messages(50.0)))
    with pytest.raises(BagError, match="expected"):
        read_answers(answers, other, split(other))
