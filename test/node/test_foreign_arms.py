"""Arms with somebody else's driver: what is not sent, because nobody knows where the arm is."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from vla_msgs.msg import ArmStatus, EndEffectorCommand

from vla_arm.command import JointCommand, Reason
from vla_arm.joint_table import HOME
from vla_policy.conversions import set_stamp
from vla_policy_node.arm_node import ArmNode
from vla_policy_node.backends.joint_trajectory import JointTrajectoryBackend
from vla_policy_node.qos import COMMAND


def foreign(graph, positions) -> JointState:
    """Joint states of the same names, between two ticks."""
    message = JointState(name=graph.robot.names, position=list(positions), velocity=[0.0] * 7)
    set_stamp(message.header.stamp, graph.robot.time + 0.01)
    return message


@pytest.mark.parametrize("moving", [False, True])
def test_a_state_that_the_arm_cannot_have_reached_moves_nothing(graph, moving):
    if moving:
        graph.rise()
    graph.turn(10)
    sent, at = len(graph.robot.targets), np.array(graph.robot.positions[:6])
    graph.robot._joints_out.publish(foreign(graph, [0.0] * 7))
    graph.wait("the fault", lambda: "elsewhere" in graph.arm_node._fault)
    assert len(graph.robot.targets) == sent
    graph.turn(10)
    way = [np.array(positions[:6]) for _, positions in graph.robot.targets[sent:]]
    steps = np.abs(np.diff([at, *way], axis=0)).max()
    assert steps <= 5.5 * 0.02 + 1e-6 and graph.arm_node._fault == ""


def test_a_second_publisher_of_joint_states_stops_the_arm_until_it_is_gone(graph):
    other = graph.ear.create_publisher(JointState, "joint_states", COMMAND)
    graph.until("ESTOP", lambda: graph.arm.state == ArmStatus.ESTOP)
    assert "/ear" in graph.arm.text and "/robot" in graph.arm.text
    assert not graph.call("reset_estop").success
    graph.ear.destroy_publisher(other)
    graph.wait("its end", lambda: graph.arm_node.count_publishers("joint_states") == 1)
    assert graph.call("reset_estop").success
    graph.until("READY", lambda: graph.arm.state == ArmStatus.READY)


def test_a_joint_outside_its_range_is_not_pulled_back(graph):
    for angle in (1.95, 2.0, 2.05, 2.1, 2.15):
        graph.robot.positions[5] = angle
        graph.robot._joints_out.publish(foreign(graph, graph.robot.positions))
        graph.steady += 0.5  # turned slowly, by hand
        for _ in range(5):
            graph.executor.spin_once(timeout_sec=0.02)
    sent = len(graph.robot.targets)
    graph.robot.joints = False
    graph.robot._joints_out.publish(foreign(graph, graph.robot.positions))
    graph.wait("the fault", lambda: "joint 6 is 0.15 rad outside" in graph.arm_node._fault)
    graph.turn(20)
    assert len(graph.robot.targets) == sent
    assert graph.arm.state == ArmStatus.HOLD and "guide it back" in graph.arm.text


def test_a_stop_of_an_inactive_arm_sends_no_old_target(graph):
    graph.turn(5)
    before = len(graph.robot.targets)
    graph.arm_node.trigger_deactivate()
    graph.wait("the last hold", lambda: len(graph.robot.targets) == before + 1)
    assert graph.call("estop").success
    for _ in range(20):
        graph.executor.spin_once(timeout_sec=0.01)
    assert len(graph.robot.targets) == before + 1 and graph.arm_node._controller.stopped


def test_a_stop_after_the_states_have_ceased_sends_no_old_target(graph):
    graph.robot.joints = False
    graph.turn(20)
    sent = len(graph.robot.targets)
    assert graph.call("estop").success
    graph.turn(5)
    assert len(graph.robot.targets) == sent


@pytest.mark.parametrize("mode", [EndEffectorCommand.HOLD, EndEffectorCommand.MOVE])
def test_a_command_after_the_states_have_ceased_sends_no_old_target(graph, mode):
    graph.turn(5)
    graph.robot.joints = False
    graph.turn(20)
    sent = len(graph.robot.targets)
    late, now = EndEffectorCommand(mode=mode), graph.robot.time
    set_stamp(late.header.stamp, now)
    late.pose.orientation.w = 1.0
    graph.arm_node._steps = 1
    graph.arm_node._on_command(late)
    graph.turn(5)
    assert len(graph.robot.targets) == sent
    assert graph.arm_node._commands.stamp == pytest.approx(now)  # it was taken


def test_the_way_home_keeps_to_the_workspace(graph):
    graph.rise()
    graph.turn(40)
    graph.instruction.publish(String(data=""))
    graph.until("READY", lambda: graph.arm.state == ArmStatus.READY)
    height = graph.states[-1].measured.position.z
    tighter = Parameter("workspace_min_z", value=height - 0.01)
    assert graph.arm_node.set_parameters([tighter])[0].successful
    answer = graph.call("home")
    assert not answer.success and "workspace" in answer.message


def test_what_has_not_been_followed_is_caught_up_with_slowly(graph, monkeypatch):
    """A trajectory's point gets the time that the joint speeds allow, in slow mode, too."""
    node = ArmNode(
        context=graph.context,
        parameter_overrides=[
            Parameter("backend", value="joint_trajectory"),
            Parameter("arm", value="X5"),
            Parameter("hardware_mode", value="slow"),
            Parameter("slow_scale", value=0.1),
            Parameter("joint_speed_scale", value=0.5),
        ],
    )
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        backend, points = node._backend, []
        assert isinstance(backend, JointTrajectoryBackend)
        monkeypatch.setattr(backend._out, "publish", lambda message: points.append(message))
        backend.send(JointCommand(np.array(HOME), 0.04, True, Reason.OK, False))
        assert points == []  # nobody knows where the arm is
        backend.ear._take(JointState(name=backend.ear.names, position=[*HOME, 0.02]))
        for way, seconds in ((0.4, 0.4 / (5.0 * 0.05)), (0.001, 0.04)):
            target = np.array(HOME) + (way, 0, 0, 0, 0, 0)
            backend.send(JointCommand(target, 0.04, True, Reason.OK, False))
            duration = points[-1].points[0].time_from_start
            assert duration.sec + duration.nanosec * 1e-9 == pytest.approx(seconds, abs=1e-6)
    finally:
        node.leave()
        node.destroy_node()
