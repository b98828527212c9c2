"""Every row of the table of the vendor library's failures, from ee_command to CAN frames."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from vla_msgs.msg import ArmStatus

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench

LIMIT = 0.3
"""From the event to the last change of a stiff motor's target [s]."""


@pytest.fixture
def arm(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch)
        try:
            arm.start()
            yield arm
        finally:
            arm.close()


def stops(arm, break_it, words, motor=1):
    """Break something in motion: the arm stops in time, says why, and works after a reset."""
    arm.move()
    begin = time.monotonic()
    break_it()
    arm.until("the stop", lambda: arm.status.state == ArmStatus.ESTOP)
    arm.spin(0.5)
    assert arm.last_change(motor, begin) < LIMIT
    assert arm.status.reason == ArmStatus.BACKEND_LOST
    assert words in arm.status.text and "reset_estop" in arm.status.text
    arm.until("diagnostics", lambda: words in arm.diagnostics, 5.0)
    assert arm.status.state == ArmStatus.ESTOP
    arm.recover()


def test_motors_that_stop_answering(arm):
    stops(arm, arm.bench.silence, "motors do not answer")


def test_too_much_torque(arm):
    stops(arm, lambda: arm.bench.claim_torque(4, 45.0), "too much torque: joint 3")


def test_a_library_that_hangs_is_killed_and_started_again(arm):
    def hang():
        # Without our own limit the library counts to 20 and deadlocks.
        os.kill(arm.driver.pid, signal.SIGSTOP)

    stops(arm, hang, "hangs")
    assert arm.driver.restarts >= 2


def test_a_foreign_frame(arm):
    stops(arm, lambda: arm.bench.inject(0x123), "id above 7")


def test_a_killed_child(arm):
    stops(arm, lambda: os.kill(arm.driver.pid, signal.SIGKILL), "killed")


def test_an_unreachable_pose_is_refused_and_nothing_moves(arm):
    arm.moving, arm.velocity = True, np.array((0.4, 0.0, 0.0))
    arm.until(
        "a refusal",
        lambda: arm.status.reason in (ArmStatus.UNREACHABLE, ArmStatus.OUT_OF_WORKSPACE),
    )
    begin = time.monotonic()
    arm.spin(1.0)
    assert arm.last_change(2, begin) < LIMIT


def test_no_new_command(arm):
    arm.move()
    begin = time.monotonic()
    arm.moving = False
    arm.until("HOLD", lambda: arm.status.reason == ArmStatus.WATCHDOG)
    arm.spin(0.5)
    assert arm.last_change(1, begin) < LIMIT
    assert arm.bench.stiffness()[1] > 0
    arm.move()


def test_sigterm_damps(arm):
    arm.move()
    os.kill(arm.driver.pid, signal.SIGTERM)
    arm.until("the stop", lambda: arm.status.state == ArmStatus.ESTOP)
    arm.until("damping", lambda: set(arm.bench.stiffness().values()) == {0.0})


@pytest.mark.parametrize("way", ["service", "topic"])
def test_emergency_stop(arm, way):
    arm.move()
    begin = time.monotonic()
    if way == "service":
        assert arm.call("estop").success
    else:
        arm.until("the ear", lambda: arm.stop_topic.get_subscription_count() == 1)
        begin = time.monotonic()
        arm.stop_topic.publish(Bool(data=True))
    arm.until("ESTOP", lambda: arm.status.state == ArmStatus.ESTOP)
    arm.until("damping", lambda: set(arm.bench.stiffness().values()) == {0.0}, 2.0)
    assert arm.last_change(1, begin) < LIMIT
    arm.spin(0.5)
    assert arm.status.state == ArmStatus.ESTOP
    arm.recover()


def test_emergency_stop_while_the_child_hangs(arm):
    arm.move()
    os.kill(arm.driver.pid, signal.SIGSTOP)
    assert arm.call("estop").success
    assert arm.status.state == ArmStatus.ESTOP or arm.node._controller.stopped
    before = arm.driver.restarts
    arm.until("another child", lambda: arm.driver.restarts > before)
    arm.until("damping", lambda: set(arm.bench.stiffness().values()) == {0.0})
    arm.recover()


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


def test_the_model_has_no_default(monkeypatch):
    from rclpy.context import Context
    from rclpy.lifecycle import TransitionCallbackReturn

    from vla_policy_node.arm_node import ArmNode

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
            assert all(bench.record.targets(motor).kp.max() == 0.0 for motor in (1, 2, 4, 5, 6, 7))
        finally:
            arm.close()


def test_a_killed_driver_leaves_the_arm_damped():
    """kill -9 of the process that decides: its child damps the arm and leaves."""
    code = (
        "import time\n"
        "from vla_arm.arx5.driver import Driver\n"
        "from vla_arm.joint_table import X5\n"
        "from vla_policy_node.backends.arx5 import child_config\n"
        "driver = Driver(child_config(X5, 'can0')); driver.start(); step = 0\n"
        "while True:\n"
        "    for report in driver.poll():\n"
        "        if not driver.engaged: driver.engage(); target = report.positions.copy()\n"
        "        else:\n"
        "            target[0] += 0.005; driver.follow(target, 0.04)\n"
        "    time.sleep(0.002)\n"
    )
    with CanBench(start=START) as bench:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **bench.environment}
        )
        end = time.monotonic() + 60.0
        while bench.joints()[0] < 0.1:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        begin = time.monotonic()
        process.kill()
        process.wait()
        while bench.peers():
            assert time.monotonic() < end
            time.sleep(0.01)
        assert set(bench.stiffness().values()) == {0.0}
        sent = bench.record.targets(1, begin + LIMIT)
        assert (sent.kp == 0.0).all()
