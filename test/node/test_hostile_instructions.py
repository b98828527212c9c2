"""Instructions from a topic or a goal, friendly and hostile."""

import re
import shlex
import struct
import subprocess
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from std_msgs.msg import String
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import ArmStatus, EpisodeMark, TaskStatus

from vla_policy.errors import PolicyError
from vla_policy_node.instruction import decode_string

Result = ExecuteInstruction.Result


def serialised(text: bytes) -> bytes:
    return b"\x00\x01\x00\x00" + struct.pack("<I", len(text) + 1) + text + b"\x00"


HOSTILE = {
    "one megabyte": serialised(b"a" * 2**20),
    "not UTF-8": serialised(b"pick \xff\xfe up"),
    "blanks": serialised(b"   "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_instruction_moves_nothing_and_is_named(graph, name):
    graph.instruction.publish(HOSTILE[name])
    graph.until("a warning", lambda: "instruction" in graph.policy_node.health()[1])
    graph.turn()
    assert graph.holding() and graph.arm.state == ArmStatus.READY
    graph.rise()  # the node lives on


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_instruction_stops_what_runs(graph, name):
    graph.rise()
    graph.instruction.publish(HOSTILE[name])
    graph.until("a hold", graph.holding)


@pytest.mark.parametrize(
    "raw", [b"", b"\x00\x01\x00\x00", b"\x00\x01\x00\x00\xff\xff\xff\xff", serialised(b"abc")[:-3]]
)
def test_a_cut_off_string_is_refused(raw):
    with pytest.raises(PolicyError, match="instruction"):
        decode_string(raw)


def test_strings_are_read_as_rclpy_writes_them():
    from rclpy.serialization import serialize_message

    for text in ("", "go", "grüner Würfel"):
        assert decode_string(serialize_message(String(data=text))) == text


def test_an_empty_instruction_stops(graph):
    graph.rise()
    graph.instruction.publish(String(data=""))
    graph.until("a hold", graph.holding)
    assert graph.commands[-1].reason == "no instruction"
    graph.until("READY", lambda: graph.arm.state == ArmStatus.READY)


def test_another_instruction_is_followed_at_once(graph):
    graph.policy.plans["fall"] = graph.policy.plans["rise"]
    graph.rise()
    graph.instruction.publish(String(data="fall"))
    graph.until("a chunk of it", lambda: graph.chunks[-1].instruction == "fall")
    graph.until("motion", lambda: not graph.holding())


def test_the_command_of_the_readme_is_heard(graph):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    written = re.search(r"^ros2 topic pub --once .* /instruction .*$", readme, re.M)
    assert written
    process = subprocess.Popen(shlex.split(written[0]))
    try:
        # Its name is a block of the scene that this graph has no plan of, so only its words count.
        graph.wait("it", lambda: bool(graph.policy_node._wanted or graph.policy_node.warning))
        assert graph.policy_node._wanted == "pick up the blue block"
    finally:
        process.terminate()
        process.wait()


def test_every_state_gets_exactly_one_command_with_its_stamp(graph):
    graph.rise()
    graph.states.clear()
    graph.commands.clear()
    graph.turn(50)
    asked = [(s.header.stamp.sec, s.header.stamp.nanosec) for s in graph.states]
    answered = [(c.header.stamp.sec, c.header.stamp.nanosec) for c in graph.commands]
    assert len(set(answered)) == len(answered)
    assert set(asked[2:-2]) <= set(answered)


def test_a_goal_ends_at_its_time_limit(graph):
    handle = graph.send_goal("rise", time_limit=0.6)
    assert handle.accepted
    result = graph.result(handle)
    assert result.reason == Result.TIME_LIMIT and not result.success
    assert 0.55 < result.elapsed < 0.8
    assert result.chunks > 0 and result.gflops > 0
    graph.until("a hold", graph.holding)


def test_a_goal_ends_when_the_simulation_says_so(graph):
    out = graph.ear.create_publisher(TaskStatus, "task_status", 10)
    handle = graph.send_goal("rise", time_limit=20.0)
    graph.until("motion", lambda: not graph.holding())

    def say(success):
        message = TaskStatus(success=success)
        message.header.stamp = graph.commands[-1].header.stamp
        out.publish(message)
        graph.turn(5)

    say(False)
    say(True)
    result = graph.result(handle)
    assert result.success and result.reason == Result.SUCCEEDED_TASK


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (EpisodeMark.SUCCESS, Result.OPERATOR_SUCCESS),
        (EpisodeMark.FAILURE, Result.OPERATOR_FAILURE),
    ],
)
def test_a_goal_ends_when_the_operator_says_so(graph, kind, reason):
    out = graph.ear.create_publisher(EpisodeMark, "episode_mark", 10)
    graph.wait("policy_node listens", lambda: out.get_subscription_count() > 0)
    handle = graph.send_goal("rise", time_limit=20.0)
    graph.until("motion", lambda: not graph.holding())
    out.publish(EpisodeMark(kind=EpisodeMark.START))
    out.publish(EpisodeMark(kind=kind, source="keyboard"))
    result = graph.result(handle)
    assert result.reason == reason and "keyboard" in result.text
    assert result.success == (kind == EpisodeMark.SUCCESS)
    graph.until("a hold", graph.holding)


def test_success_from_before_the_goal_does_not_count(graph):
    out = graph.ear.create_publisher(TaskStatus, "task_status", 10)
    graph.wait("policy_node listens", lambda: out.get_subscription_count() > 0)
    message = TaskStatus(success=True)
    out.publish(message)
    graph.turn(5)
    handle = graph.send_goal("rise", time_limit=0.6)
    message.header.stamp = graph.commands[-1].header.stamp
    out.publish(message)
    assert graph.result(handle).reason == Result.TIME_LIMIT


def test_a_goal_can_be_canceled(graph):
    handle = graph.send_goal("rise")
    graph.until("motion", lambda: not graph.holding())
    future = handle.cancel_goal_async()
    graph.wait("answer to cancel", future.done)
    future = handle.get_result_async()
    graph.until("result", future.done)
    assert future.result().status == GoalStatus.STATUS_CANCELED
    assert future.result().result.reason == Result.CANCELED
    graph.until("a hold", graph.holding)


@pytest.mark.parametrize(
    ("instruction", "time_limit"), [("", 0.0), ("a" * 2000, 0.0), ("rise", -1.0)]
)
def test_an_unfit_goal_is_rejected(graph, instruction, time_limit):
    assert not graph.send_goal(instruction, time_limit).accepted
    assert "rejected" in graph.policy_node.health()[1]


def test_a_second_goal_is_rejected_while_one_runs(graph):
    first = graph.send_goal("rise", time_limit=1.0)
    assert not graph.send_goal("rise").accepted
    assert graph.result(first).reason == Result.TIME_LIMIT


def test_the_goal_owns_the_instruction(graph):
    handle = graph.send_goal("rise", time_limit=1.0)
    graph.instruction.publish(String(data="something else"))
    result = graph.result(handle)
    assert result.reason == Result.TIME_LIMIT
    assert {chunk.instruction for chunk in graph.chunks} == {"rise"}


def test_no_goal_while_the_arm_is_stopped(graph):
    assert graph.call("estop").success
    graph.until("ESTOP", lambda: graph.arm.state == ArmStatus.ESTOP)
    assert not graph.send_goal("rise").accepted


def test_two_seconds_of_refusals_abort_the_goal(graph):
    graph.policy.plans["leave"] = graph.policy.plans["rise"] + [2.0, 0, 0, 0, 0, 0, 0]
    handle = graph.send_goal("leave", time_limit=10.0)
    result = graph.result(handle)
    assert result.reason == Result.HELD and "workspace" in result.text
    assert 1.9 < result.elapsed < 4.0
    assert all(a == b for (_, a), (_, b) in zip(graph.robot.targets, graph.robot.targets[1:]))


def test_deactivating_the_policy_cancels_its_goal_and_holds(graph):
    handle = graph.send_goal("rise")
    graph.until("motion", lambda: not graph.holding())
    graph.policy_node.trigger_deactivate()
    result = graph.result(handle)
    assert result.reason == Result.CANCELED
    graph.until("a hold", graph.holding)
