"""The phases of bring-up, and limits that only become tighter."""

import sys
from pathlib import Path

import numpy as np
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from vla_msgs.msg import ArmStatus

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench

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


def test_the_model_has_no_default():
    context = Context()
    context.init()
    node = ArmNode(context=context, parameter_overrides=[Parameter("backend", value="arx5")])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.destroy_node()
    context.try_shutdown()


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


def test_teach_mode_has_no_stiffness_and_follows_nothing(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, hardware_mode="teach")
        try:
            arm.node.trigger_configure()
            arm.node.trigger_activate()
            arm.until("teach", lambda: "guided by hand" in arm.status.text)
            arm.moving = True
            arm.spin(1.0)
            assert "guided by hand" in arm.status.text
            assert all(bench.record.targets(motor).kp.max() == 0.0 for motor in bench.record.kinds)
        finally:
            arm.close()
