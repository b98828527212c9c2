"""The phases of bring-up, and limits that only become tighter."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from vla_msgs.msg import ArmStatus

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench

from vla_arm.joint_table import HOME, X5
from vla_policy_node.arm_node import ArmNode


def test_limits_only_become_tighter(arm):
    def set_to(**values):
        given = [Parameter(name, value=value) for name, value in values.items()]
        return arm.node.set_parameters_atomically(given)

    assert set_to(linear_speed=0.05).successful
    assert arm.node._controller.limits.linear_speed == 0.05
    answer = set_to(linear_speed=0.1)
    assert not answer.successful and "file" in answer.reason
    assert not set_to(table_z=-0.1).successful
    assert not set_to(self_collision=False).successful
    assert set_to(workspace_max_x=0.4).successful
    assert not set_to(workspace_min_x=0.45).successful


@pytest.fixture
def node_with():
    """Makes an unconfigured arm_node of the real arm, with some parameters."""
    context = Context()
    context.init()
    nodes = []

    def make(**values):
        given = [Parameter(name, value=value) for name, value in values.items()]
        nodes.append(ArmNode(context=context, parameter_overrides=given))
        return nodes[-1]

    yield make
    for node in nodes:
        node.leave()
        node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize("given", [{"hardware_mode": "dry_run"}, {"arm": "X5"}])
def test_model_and_mode_have_no_default(node_with, given):
    node = node_with(backend="arx5", **given)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    both = node_with(backend="arx5", arm="X5", hardware_mode="dry_run")
    assert both.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_time_never_waits_for_a_real_arm(node_with):
    node = node_with(backend="arx5", arm="X5", hardware_mode="dry_run", lockstep=True)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE


def test_a_clean_up_loosens_nothing(node_with):
    node = node_with(backend="arx5", arm="X5", hardware_mode="dry_run")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    looser = {"command_timeout": 1.0, "slow_scale": 1.0, "home_speed": 2.0, "lockstep": True}
    for name, value in looser.items():
        answer = node.set_parameters([Parameter(name, value=value)])[0]
        assert not answer.successful and "file" in answer.reason
    assert node.set_parameters([Parameter("command_timeout", value=0.1)])[0].successful


def test_a_stop_outlives_a_clean_up(arm):
    assert arm.call("estop").success
    arm.node.trigger_deactivate()
    arm.node.trigger_cleanup()
    arm.node.trigger_configure()
    arm.node.trigger_activate()
    arm.moving = True
    arm.until("states", lambda: arm.driver.report is not None)
    arm.spin(0.5)
    assert arm.status.state == ArmStatus.ESTOP and "reset_estop" in arm.status.text
    assert arm.damped()
    arm.moving = False
    arm.until("reset", lambda: arm.call("reset_estop").success)
    arm.until("READY", lambda: arm.status.state == ArmStatus.READY)


def test_dry_run_sends_nothing(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, hardware_mode="dry_run")
        try:
            arm.start()
            arm.moving = True
            arm.until("MOVING", lambda: arm.status.state == ArmStatus.MOVING)
            arm.spin(0.5)
            assert "nothing is sent" in arm.status.text
            assert len(bench.record.rows()) == 0 and bench.peers() == 0
        finally:
            arm.close()


def test_slow_is_slow(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, hardware_mode="slow", slow_scale=0.1, linear_speed=0.4)
        try:
            arm.start()
            arm.velocity = np.array((0.0, 0.4, 0.0))
            arm.move()
            arm.spin(0.5)
            tool = np.array([(p.x, p.y, p.z) for p in (s.commanded.position for s in arm.states)])
            stamps = [s.header.stamp.sec + s.header.stamp.nanosec * 1e-9 for s in arm.states]
            way = np.linalg.norm(tool[-1] - tool[0])
            assert 0.0 < way <= 0.04 * (stamps[-1] - stamps[0]) * 1.05
        finally:
            arm.close()


@pytest.mark.parametrize("mode, share", [("slow", 0.1), ("full", 1.0)])
def test_the_child_is_as_slow_whatever_it_is_sent(monkeypatch, mode, share):
    limits = {"slow_scale": 0.1, "joint_speed_scale": 0.2}
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, hardware_mode=mode, **limits)
        try:
            arm.start()
            begin = time.monotonic()
            target = arm.driver.report.positions + np.array((0.4, 0.0, 0.0, 0.0, 0.0, 0.0))
            while time.monotonic() < begin + 0.3:  # past the gate
                arm.driver.follow(target, START[6])
                arm.spin(0.01)
            sent = bench.record.targets(1, begin)
            way = sent.position[-1] - sent.position[0]
            speed = X5.velocity[0] * limits["joint_speed_scale"] * share
            assert 0.5 * speed * 0.3 < way <= 1.05 * speed * (sent.time[-1] - sent.time[0])
        finally:
            arm.close()


def test_a_tighter_torque_counts_at_once_while_nothing_is_commanded(arm):
    arm.bench.claim_torque(4, 20.0)  # joint 3, whose limit is 30 Nm
    arm.spin(0.2)
    assert arm.status.state == ArmStatus.READY
    assert arm.node.set_parameters([Parameter("torque_scale", value=0.5)])[0].successful
    arm.until("the stop", lambda: arm.status.state == ArmStatus.ESTOP)
    assert "too much torque: joint 3 at 20.0 Nm, limit 15.0" in arm.status.text


def test_every_child_knows_the_torque_before_it_is_commanded(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, torque_scale=0.5)
        try:
            arm.node.trigger_configure()
            arm.until("a child", lambda: arm.driver.report is not None)
            os.kill(arm.driver.pid, signal.SIGKILL)
            arm.until("its end", lambda: arm.driver.report is None)
            arm.until("another", lambda: arm.driver.report is not None)
            bench.claim_torque(4, 20.0)
            arm.until("its words", lambda: "limit 15.0" in arm.driver.report.text)
        finally:
            arm.close()


def test_home_is_as_slow_and_arrives(monkeypatch):
    # The tool's limit is lower than what the joints' speed would need: the motion takes longer.
    limits = {"slow_scale": 0.5, "home_speed": 0.8, "linear_speed": 0.1}
    with CanBench(start=(-0.3, *START[1:])) as bench:
        arm = ArmBench(bench, monkeypatch, hardware_mode="slow", **limits)
        try:
            arm.start()
            begin, before = time.monotonic(), len(arm.states)
            assert arm.call("home").success
            arm.until("the motion", lambda: arm.status.state == ArmStatus.MOVING)
            arm.until("home", lambda: arm.status.state == ArmStatus.READY)
            arm.spin(0.2)
            sent = bench.record.targets(1, begin)
            assert abs(sent.position[-1] - HOME[0]) < 0.001
            tool = np.array([(p.x, p.y) for p in (s.commanded.position for s in arm.states)])
            way = np.linalg.norm(tool[-1] - tool[before])
            assert way > 0.08
            assert way <= 0.05 * 1.05 * (len(arm.states) - before) * 0.02
        finally:
            arm.close()


def test_teach_mode_has_no_stiffness_follows_nothing_and_can_be_stopped(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, hardware_mode="teach")
        try:
            arm.node.trigger_configure()
            arm.node.trigger_activate()
            arm.until("teach", lambda: "guided by hand" in arm.status.text)
            arm.moving = True
            arm.spin(1.0)
            assert "guided by hand" in arm.status.text
            loose = bench.record.targets(1).kd[-1]
            assert arm.call("estop").success
            arm.until("the brake", lambda: bench.record.targets(1).kd[-1] > 2 * loose > 0.0)
            arm.until("ESTOP", lambda: arm.status.state == ArmStatus.ESTOP)
            assert arm.call("reset_estop").success
            arm.until("teach again", lambda: "guided by hand" in arm.status.text)
            arm.until("a loose arm", lambda: bench.record.targets(1).kd[-1] == loose)
            assert all(bench.record.targets(motor).kp.max() == 0.0 for motor in bench.record.kinds)
        finally:
            arm.close()
