"""An operator moves the hand: what is pressed, and nothing longer; alone, and within a step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Joy
from vla_msgs.msg import EndEffectorCommand, EndEffectorState

from vla_policy import conversions
from vla_policy_node.clock import steady
from vla_policy_node.errors import NodeError
from vla_policy_node.qos import COMMAND, REPORT
from vla_policy_node.teleop import GRIPPER_KEY, KEYS, LONGEST_STEP, Gamepad, Keyboard, Steering
from vla_policy_node.teleop_node import TeleopNode

TIMEOUT = 20.0
POSE = np.array([0.3, 0.1, 0.2, 0.0, np.pi / 2, 0.0, 0.08])


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_moves_its_axis_until_it_is_let_go(key: str) -> None:
    keyboard, (axis, direction) = Keyboard(hold=0.25), KEYS[key]
    assert keyboard.press(key, 10.0)
    held = keyboard.wish(10.2).twist
    assert held[axis] == direction and np.count_nonzero(held) == 1
    assert keyboard.wish(10.26).still


def test_space_toggles_once_and_other_keys_are_not_taken() -> None:
    keyboard = Keyboard()
    assert keyboard.press(GRIPPER_KEY, 0.0) and not keyboard.press("x", 0.0)
    assert keyboard.wish(0.0).toggle and not keyboard.wish(0.0).toggle


def joy(twist: float = 0.0, enable: int = 1, grip: int = 0) -> dict[str, Any]:
    return {"axes": [0.0, twist, 0.0, 0.0, 0.0], "buttons": [grip, 0, 0, 0, 0, enable]}


def test_a_pad_moves_nothing_without_its_enable_button_or_once_it_is_silent() -> None:
    pad = Gamepad(timeout=0.5, dead_zone=0.1)
    pad.hear(**joy(0.7), now=1.0)
    assert pad.wish(1.2).twist[0] == pytest.approx(0.7)
    assert pad.wish(1.6).still
    pad.hear(**joy(0.7, enable=0, grip=1), now=2.0)
    assert pad.wish(2.0).still
    pad.hear(**joy(0.05), now=3.0)
    assert pad.wish(3.0).still
    pad.hear(axes=[1.0], buttons=[1], now=4.0)
    assert pad.wish(4.0).still


def test_a_held_button_toggles_once() -> None:
    pad = Gamepad()
    toggles = 0
    for step, grip in enumerate([0, 1, 1, 1, 0, 1]):
        pad.hear(**joy(grip=grip), now=0.1 * step)
        toggles += pad.wish(0.1 * step).toggle
    assert toggles == 2


def test_speed_is_bounded_and_a_gap_moves_no_further_than_a_step() -> None:
    steering, keyboard = Steering(linear=0.1, angular=0.5), Keyboard()
    keyboard.press("w", 0.0)
    keyboard.press("q", 0.0)
    wish = keyboard.wish(0.0)
    for dt in (0.02, 5.0):
        target = steering.steer(wish, POSE, dt)
        assert target is not None
        share = min(dt, LONGEST_STEP)
        np.testing.assert_allclose(target[:3] - POSE[:3], [0.1 * share, 0, 0], atol=1e-12)
        turn = Rotation.from_rotvec(target[3:6]) * Rotation.from_rotvec(POSE[3:6]).inv()
        np.testing.assert_allclose(turn.as_rotvec(), [0, 0, 0.5 * share], atol=1e-9)
        assert target[6] == POSE[6]
    assert steering.steer(keyboard.wish(1.0), POSE, 0.02) is None


def test_the_gripper_goes_on_until_it_is_there() -> None:
    steering, keyboard, commanded = Steering(), Keyboard(), POSE.copy()
    keyboard.press(GRIPPER_KEY, 0.0)
    for _ in range(100):
        target = steering.steer(keyboard.wish(0.0), commanded, 0.02)
        if target is None:
            break
        np.testing.assert_array_equal(target[:3], commanded[:3])
        commanded[6] += np.clip(target[6] - commanded[6], -0.004, 0.004)  # as the arm limits it
    assert commanded[6] == pytest.approx(0.0, abs=1e-3) and steering.gripper is None


def test_a_button_that_is_let_go_lets_the_gripper_stop_on_its_way() -> None:
    steering, pad = Steering(), Gamepad(timeout=0.5)
    pad.hear(**joy(grip=1), now=1.0)
    assert steering.steer(pad.wish(1.0), POSE, 0.02) is not None
    assert steering.steer(pad.wish(1.1), POSE, 0.02) is not None  # on its way
    pad.hear(**joy(enable=0), now=1.2)
    assert steering.steer(pad.wish(1.2), POSE, 0.02) is None
    pad.hear(**joy(), now=1.3)
    assert steering.steer(pad.wish(1.3), POSE, 0.02) is None  # it does not go on by itself


class Bench:
    """teleop, and an arm that asks it."""

    def __init__(self, gamepad: bool) -> None:
        self.context = Context()
        self.context.init()
        self.teleop = TeleopNode(gamepad, Steering(), context=self.context)
        self.arm = Node("arm", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.teleop)
        self.executor.add_node(self.arm)
        self.state = self.arm.create_publisher(EndEffectorState, "ee_state", COMMAND)
        self.joy = self.arm.create_publisher(Joy, "joy", REPORT)
        self.answers: list[EndEffectorCommand] = []
        self.arm.create_subscription(EndEffectorCommand, "ee_command", self.answers.append, COMMAND)
        self.until("heard", lambda: self.state.get_subscription_count() > 0)
        self.until("hears", lambda: self.teleop.count_subscribers("ee_command") > 0)

    def until(self, what: str, done: Any) -> None:
        end = steady() + TIMEOUT
        while not done():
            assert steady() < end, f"{what}: not within {TIMEOUT} s"
            self.executor.spin_once(timeout_sec=0.05)

    def ask(self, stamp: float) -> EndEffectorCommand:
        message = EndEffectorState(gripper_commanded=POSE[6])
        conversions.set_stamp(message.header.stamp, stamp)
        message.header.frame_id = "base_link"
        conversions.pose_to_message(POSE, message.commanded)
        count = len(self.answers)
        self.state.publish(message)
        self.until("an answer", lambda: len(self.answers) > count)
        return self.answers[-1]

    def close(self) -> None:
        self.executor.shutdown()
        for node in (self.teleop, self.arm):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("bench", [False], indirect=True)
def test_each_state_is_answered_once_with_its_stamp_and_hold_when_nothing_is_pressed(bench):
    answer = bench.ask(5.0)
    assert answer.mode == EndEffectorCommand.HOLD and "presses nothing" in answer.reason
    assert conversions.seconds(answer.header.stamp) == pytest.approx(5.0)
    bench.teleop.keyboard = bench.teleop._input = Keyboard(hold=TIMEOUT)
    bench.teleop.press("w")
    answer = bench.ask(5.02)
    assert answer.mode == EndEffectorCommand.MOVE and answer.header.frame_id == "base_link"
    moved = conversions.pose_from_message(answer.pose)[:3] - POSE[:3]
    np.testing.assert_allclose(moved, [0.002, 0.0, 0.0], atol=1e-6)
    assert len(bench.answers) == 2


@pytest.mark.parametrize("bench", [True], indirect=True)
def test_a_pad_drives_by_the_topic_and_another_commander_is_named(bench):
    bench.until("joy heard", lambda: bench.joy.get_subscription_count() > 0)
    bench.teleop._gamepad._timeout = TIMEOUT
    pad = joy(1.0)
    bench.joy.publish(Joy(axes=pad["axes"], buttons=pad["buttons"]))
    bench.until("the stick", lambda: bench.teleop._gamepad._twist.any())
    bench.ask(1.0)
    assert bench.ask(1.02).mode == EndEffectorCommand.MOVE
    bench.teleop.check_alone()
    bench.arm.create_publisher(EndEffectorCommand, "ee_command", COMMAND)
    bench.until("two", lambda: bench.teleop.count_publishers("ee_command") > 1)
    with pytest.raises(NodeError, match="arm"):
        bench.teleop.check_alone()
