"""Whatever dies: commands stop within 0.3 s, the arm holds, and goes on when it is back."""

from dataclasses import replace

import numpy as np
import pytest
from graph import overrides
from rclpy.lifecycle import TransitionCallbackReturn
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import ArmStatus, EndEffectorCommand

from vla_policy_node.policy_node import PolicyNode

LIMIT = 0.3
SUCCESS = TransitionCallbackReturn.SUCCESS


def stop_time(graph, break_it, holds):
    """Break something in motion, wait for the hold, and return how long the arm still moved [s]."""
    graph.rise()
    start = graph.steady
    break_it()
    graph.until("a hold", holds)
    graph.turn(15)
    assert holds()
    return graph.last_motion(start)


def test_dead_cameras(graph):
    def die():
        graph.robot.cameras = False

    assert stop_time(graph, die, graph.holding) < LIMIT
    assert "camera" in graph.commands[-1].reason
    graph.robot.cameras = True
    graph.until("motion again", lambda: not graph.holding())


def test_dead_joint_states(graph):
    def die():
        graph.robot.joints = False

    def holds():
        return graph.arm.state == ArmStatus.HOLD

    assert stop_time(graph, die, holds) < LIMIT
    assert graph.arm.reason == ArmStatus.NO_JOINT_STATES
    assert "joint_states" in graph.arm.text
    graph.robot.joints = True
    graph.until("motion again", lambda: graph.arm.state == ArmStatus.MOVING)


def test_dead_policy(graph):
    def die():
        graph.executor.remove_node(graph.policy_node)
        graph.policy_lives = False

    def holds():
        return graph.arm.state == ArmStatus.HOLD

    assert stop_time(graph, die, holds) < LIMIT
    assert graph.arm.reason == ArmStatus.WATCHDOG
    graph.executor.add_node(graph.policy_node)
    graph.policy_lives = True
    graph.until("motion again", lambda: graph.arm.state == ArmStatus.MOVING)


def test_frozen_clock(graph):
    def die():
        graph.robot.clock = False

    def holds():
        return graph.arm.state == ArmStatus.HOLD

    assert stop_time(graph, die, holds) < LIMIT
    assert "clock" in graph.arm.text
    graph.robot.clock = True
    graph.until("motion again", lambda: graph.arm.state == ArmStatus.MOVING)


@pytest.mark.parametrize("kind", ["size", "encoding", "float", "empty"])
def test_poisoned_camera(graph, kind):
    def poisoned():
        image = graph.robot.good_image()
        if kind == "size":
            image.height = 97
        elif kind == "encoding":
            image.encoding = "yuv422"
        elif kind == "float":
            image.encoding, image.step = "32FC3", 96 * 12
        else:
            image.data = []
        return image

    def die():
        graph.robot.image = poisoned

    assert stop_time(graph, die, graph.holding) < 0.5  # good chunks may still be on their way
    assert "camera" in graph.commands[-1].reason
    level, text, _ = graph.policy_node.health()
    assert level != b"\x00" and "camera" in text
    graph.robot.image = graph.robot.good_image
    graph.until("motion again", lambda: not graph.holding())


def test_joint_states_without_a_name(graph):
    def die():
        graph.robot.names = ["joint1", "elbow", *graph.robot.names[2:]]

    def holds():
        return graph.arm.state == ArmStatus.HOLD

    assert stop_time(graph, die, holds) < LIMIT
    assert "joint2" in graph.arm.text


def test_policy_that_raises(graph):
    def die():
        graph.policy.broken = "no weights"

    assert stop_time(graph, die, graph.holding) < 0.5  # the next chunk is asked for within 0.2 s
    assert "no weights" in graph.commands[-1].reason
    graph.policy.broken = ""
    graph.until("motion again", lambda: not graph.holding())


def test_policy_that_answers_nan(graph):
    def die():
        graph.policy.poison = True

    stop_time(graph, die, graph.holding)
    assert "finite" in graph.commands[-1].reason


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda chunk: replace(chunk, targets=np.zeros((16, 8), np.float32)), "policy: "),
        (lambda chunk: replace(chunk, targets=np.zeros((0, 7), np.float32)), "policy: "),
        (lambda chunk: replace(chunk, step_dt=0.0), "policy: "),
        (
            lambda chunk: replace(chunk, report=replace(chunk.report, layers_run=(70000,))),
            "report cannot be sent",
        ),
    ],
    ids=["eight numbers", "no steps", "no time", "a report too large"],
)
def test_policy_whose_chunks_cannot_be_played(graph, spoil, reason):
    def die():
        graph.policy.spoil = spoil

    stop_time(graph, die, graph.holding)
    assert reason in graph.commands[-1].reason
    graph.policy.spoil = lambda chunk: chunk
    graph.until("motion again", lambda: not graph.holding())


def test_a_blank_instruction_parameter_is_refused_at_once(graph):
    given = overrides(policy="python:scripted_policy.make", instruction=" ")
    node = PolicyNode(context=graph.context, parameter_overrides=given)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    finally:
        node.leave()
        node.destroy_node()


def test_policy_that_never_answers(graph):
    def die():
        graph.policy.gate.clear()

    try:
        graph.rise()
        die()
        graph.until("the chunk to run out", graph.holding)
        assert "run out" in graph.commands[-1].reason
    finally:
        graph.policy.gate.set()


def test_a_goal_of_a_policy_that_never_answers_ends(graph):
    graph.policy.gate.clear()
    try:
        handle = graph.send_goal("rise", 600.0)
        graph.until("the complaint", lambda: "does not answer" in graph.policy_node.health()[1])
        result = graph.result(handle)
        assert result.reason == ExecuteInstruction.Result.POLICY_FAULT
        assert result.text == "the policy does not answer" and result.elapsed < 10.0
    finally:
        graph.policy.gate.set()


def test_a_policy_is_let_go_when_the_node_is_cleaned_up(graph):
    closed = []
    graph.policy.close = lambda: closed.append(graph.policy_node._inference is None)
    for node in (graph.policy_node, graph.policy_node):
        assert node.trigger_deactivate() == node.trigger_cleanup() == SUCCESS
        assert not hasattr(node, "policy")
        assert node.trigger_configure() == node.trigger_activate() == SUCCESS
    assert len(closed) == 1  # the first was made before it could be closed


def test_estop_is_latched_until_reset(graph):
    graph.rise()
    start = graph.steady
    assert graph.call("estop").success
    graph.until("ESTOP", lambda: graph.arm.state == ArmStatus.ESTOP)
    graph.turn(15)
    assert graph.arm.state == ArmStatus.ESTOP
    assert graph.commands[-1].mode == EndEffectorCommand.MOVE
    assert graph.last_motion(start) < 0.2
    assert not graph.call("home").success
    assert graph.call("reset_estop").success
    graph.until("motion again", lambda: graph.arm.state == ArmStatus.MOVING)


def test_home_goes_home_and_takes_no_commands_meanwhile(graph):
    import numpy as np
    from std_msgs.msg import String

    from vla_arm.joint_table import HOME

    graph.rise()
    graph.turn(20)
    graph.instruction.publish(String(data=""))
    graph.until("READY", lambda: graph.arm.state == ArmStatus.READY)
    assert graph.call("home").success
    graph.until("MOVING", lambda: graph.arm.state == ArmStatus.MOVING)
    graph.until("READY", lambda: graph.arm.state == ArmStatus.READY)
    assert np.allclose(graph.robot.positions[:6], HOME, atol=1e-3)
