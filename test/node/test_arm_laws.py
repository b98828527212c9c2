"""What arm_node does with an arm that is moved, does not follow, or says too much."""

import os

import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from vla_msgs.msg import ArmStatus, EndEffectorCommand

from vla_arm.joint_table import HOME
from vla_policy.conversions import set_stamp
from vla_policy_node import arm_node
from vla_policy_node.clock import Pace
from vla_policy_node.qos import COMMAND, REPORT
from vla_policy_node.teleop_node import read_keys

TICK = 0.02


def silence_policy(graph) -> None:
    """Nobody commands any more, and the arm holds for that reason."""
    graph.executor.remove_node(graph.policy_node)
    graph.policy_lives = False
    graph.until("WATCHDOG", lambda: graph.arm.reason == ArmStatus.WATCHDOG)
    graph.turn(5)  # the hold has arrived


def commander(graph):
    publisher = graph.ear.create_publisher(EndEffectorCommand, "ee_command", COMMAND)
    graph.wait("discovery", lambda: publisher.get_subscription_count() >= 2)
    return publisher


def repeated(graph, publisher, message, ticks: int) -> None:
    for _ in range(ticks):
        before = graph.commands[:]
        publisher.publish(message)
        graph.wait("the command", lambda before=before: len(graph.commands) > len(before))
        graph.tick()


@pytest.mark.parametrize("rate", [50.0, 100.0, 500.0])
def test_what_comes_faster_than_the_arm_is_commanded_is_not_answered(rate: float) -> None:
    pace = Pace(TICK)
    jitter = np.random.default_rng(0).uniform(-0.001, 0.001, 2000)
    stamps = np.arange(2000) / rate + (jitter if rate == 50.0 else 0.0)
    passed = sum(pace(float(stamp)) for stamp in stamps)
    seconds = 2000 / rate
    assert 0.97 * seconds / TICK < passed <= seconds / TICK + 2


def test_joint_states_at_twice_the_rate_buy_no_speed(graph, monkeypatch):
    answered, publish = [], graph.arm_node._publish_state

    def answer(measured):
        answered.append(measured.stamp)
        publish(measured)

    monkeypatch.setattr(graph.arm_node, "_publish_state", answer)
    between = JointState(name=graph.robot.names, velocity=[0.0] * 7)
    for _ in range(20):
        between.position = graph.robot.positions
        set_stamp(between.header.stamp, graph.robot.time + TICK / 2)
        graph.robot._joints_out.publish(between)
        graph.wait("it", lambda: graph.arm_node._states.stamp > graph.robot.time + TICK / 4)
        graph.tick()
    assert 19 <= len(answered) <= 21


def test_an_arm_that_was_pushed_is_told_at_once_to_stay_where_it_is(graph):
    silence_policy(graph)
    for way in (0.1, 0.2, 0.3):  # as fast as it can be moved
        pushed = [*np.array(HOME) + (way, 0, 0, 0, 0, 0), 0.08]
        graph.robot.positions = list(pushed)
        graph.tick()
    graph.wait(
        "a target there",
        lambda: np.allclose(graph.robot.targets[-1][1][:6], pushed[:6], atol=1e-9),
    )


def test_a_command_that_is_repeated_is_no_sign_of_life_and_moves_nothing(graph):
    silence_policy(graph)
    publisher = commander(graph)
    state = graph.states[-1]
    message = EndEffectorCommand(mode=EndEffectorCommand.MOVE, sequence=7, gripper=0.05)
    message.header = state.header
    message.pose, message.observation_stamp = state.commanded, state.header.stamp
    message.pose.position.z += 0.05
    repeated(graph, publisher, message, 3)
    sent = len(graph.robot.targets)
    repeated(graph, publisher, message, 15)
    assert len(graph.robot.targets) - sent <= 1  # the hold
    assert graph.arm.reason == ArmStatus.WATCHDOG


def test_holds_that_are_repeated_do_not_undo_the_way_home(graph):
    graph.rise()
    graph.turn(20)
    silence_policy(graph)
    publisher, hold = commander(graph), EndEffectorCommand(mode=EndEffectorCommand.HOLD)
    repeated(graph, publisher, hold, 2)
    assert graph.arm.state == ArmStatus.READY
    assert graph.call("home").success
    while graph.arm.state == ArmStatus.MOVING:
        repeated(graph, publisher, hold, 1)
    repeated(graph, publisher, hold, 5)
    np.testing.assert_allclose(graph.robot.positions[:6], HOME, atol=1e-3)


def test_an_arm_that_does_not_follow_is_held_where_it_is(graph, monkeypatch):
    monkeypatch.setattr(arm_node, "BEHIND", 0.05)
    stuck = list(graph.robot.positions)
    taken = graph.robot._take

    def stays(message: JointState) -> None:
        taken(message)
        graph.robot.positions = list(stuck)

    for subscription in graph.robot.subscriptions:
        if subscription.topic_name == "/joint_commands":
            subscription.callback = stays
    graph.instruction.publish(String(data="rise"))
    lags = []
    for _ in range(200):
        graph.tick()
        lags.append(np.abs(graph.arm_node._controller.positions - stuck[:6]).max())
    assert 0.02 < max(lags) < 0.2  # far less than the way that the policy wants to go


def test_a_button_that_is_let_go_at_once_has_stopped_the_arm(graph):
    button = graph.ear.create_publisher(Bool, "emergency_stop", REPORT)
    graph.wait("discovery", lambda: button.get_subscription_count() == 1)
    button.publish(Bool(data=True))
    button.publish(Bool(data=False))
    graph.until("ESTOP", lambda: graph.arm.state == ArmStatus.ESTOP)


def test_trouble_of_an_inactive_node_is_latched_and_activation_does_not_clear_it(
    graph, monkeypatch
):
    node = graph.arm_node
    node.trigger_deactivate()
    with monkeypatch.context() as patch:
        patch.setattr(type(node._backend), "trouble", "the driver is gone")
        node._on_watchdog()
    assert not graph.call("reset_estop").success
    node.trigger_activate()
    graph.until("ESTOP", lambda: graph.arm.state == ArmStatus.ESTOP)
    assert "the driver is gone" in graph.arm.text
    graph.turn(5)
    assert graph.arm.state == ArmStatus.ESTOP and graph.call("reset_estop").success


@pytest.mark.parametrize(("name", "value"), [("hardware_mode", "slow"), ("backend", "arx5")])
def test_what_is_driven_is_chosen_when_the_node_is_started(graph, name, value):
    graph.arm_node.trigger_deactivate()
    graph.arm_node.trigger_cleanup()
    answer = graph.arm_node.set_parameters([Parameter(name, value=value)])[0]
    assert not answer.successful and "started" in answer.reason


@pytest.mark.parametrize("sequence", ["[A", "[B", "[1;5C", "OR", "[15~", "OP", "b"])
def test_arrows_and_function_keys_are_no_letters(sequence: str) -> None:
    ear, mouth = os.pipe()
    try:
        os.write(mouth, f"w\x1b{sequence}Q".encode())
        assert read_keys(ear) == "wq"
    finally:
        os.close(ear)
        os.close(mouth)
