"""Every row of the table of the vendor library's failures, from ee_command to CAN frames."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Bool
from vla_msgs.msg import ArmStatus

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench

from vla_arm.joint_table import HOME

REAL = Path(__file__).parents[2] / "config" / "real.yaml"
LIMIT = 0.3
"""From the event to the last change of a stiff motor's target [s]."""
SETTLE = 0.5
"""So long the frames are watched after a stop [s]."""


def stops(arm, break_it, words, *, state=ArmStatus.ESTOP, reason=ArmStatus.BACKEND_LOST):
    """Break something in motion: the arm stops in time, and says why in both places."""
    arm.move()
    begin = time.monotonic()
    break_it()
    arm.until("the stop", lambda: (arm.status.state, arm.status.reason) == (state, reason))
    arm.spin(SETTLE)
    assert arm.last_change(begin) < LIMIT
    assert words in arm.status.text
    level = DiagnosticStatus.ERROR if state == ArmStatus.ESTOP else DiagnosticStatus.WARN
    arm.until("diagnostics", lambda: words in arm.diagnostics and arm.level == level, 5.0)
    assert (arm.status.state, arm.status.reason) == (state, reason), "the stop is latched"
    assert arm.node.active, "the node lives"


def lift(arm):
    """Guide an arm that has sunk onto its end stops back to where it can be engaged."""
    arm.until("another child", lambda: arm.driver.report is not None)
    arm.bench.guide(START)
    arm.until("the hand", lambda: np.abs(arm.bench.joints() - START).max() < 0.3)
    arm.bench.let_go()


def stops_and_works_again(arm, break_it, words):
    """The same for a fault of the driver, which a reset ends when its cause is gone."""
    stops(arm, break_it, words)
    assert "reset_estop" in arm.status.text
    arm.recover()


# "unreachable pose": the library moves anyway.


@pytest.mark.parametrize(
    "limits, reason, words",
    [
        ({}, ArmStatus.OUT_OF_WORKSPACE, "outside the workspace"),
        ({"workspace_max_x": 1.0}, ArmStatus.UNREACHABLE, "cannot reach"),
    ],
)
def test_an_unreachable_pose(monkeypatch, limits, reason, words):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, linear_speed=1.0, **limits)
        try:
            arm.start()
            arm.velocity = np.array((0.6, 0.0, 0.0))
            arm.moving = True
            # Followed as far as it can be, and no further.
            arm.until("the refusal", lambda: arm.status.reason == reason)
            begin = time.monotonic()
            arm.until("its words", lambda: words in arm.status.text and words in arm.diagnostics)
            arm.spin(SETTLE)
            assert arm.last_change(begin) < LIMIT
            assert arm.status.state == ArmStatus.HOLD
            assert bench.stiffness()[1] > 0, "it holds"
            arm.pose, arm.velocity = None, np.array((-0.05, 0.12, 0.0))
            arm.move()
        finally:
            arm.close()


# "motors stop answering": not detected by the library.


@pytest.mark.parametrize("motors", [(), (1,)], ids=["all", "one"])
def test_motors_that_stop_answering(arm, motors):
    stops_and_works_again(arm, lambda: arm.bench.silence(*motors), "motors do not answer: joints")


def test_a_gripper_motor_that_stops_answering(arm):
    def silence_and_close():
        arm.bench.silence(8)
        arm.opening = 0.01

    stops_and_works_again(arm, silence_and_close, "motors do not answer: gripper")
    arm.until("a closed gripper", lambda: arm.bench.joints()[6] < 0.012)


def test_a_gripper_that_rests_or_squeezes_is_not_silent(monkeypatch):
    """With the limits of real.yaml. Motors here have no noise: at rest they repeat themselves."""
    limits = yaml.safe_load(REAL.read_text())["/**/arm_node"]["ros__parameters"]
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, **limits)
        try:
            arm.start()
            arm.move()
            bench.grasp(0.03)
            arm.opening = 0.0
            arm.until("the grasp", lambda: bench.joints()[6] < 0.031)
            arm.spin(2 * SETTLE)
            assert arm.status.state == ArmStatus.MOVING, arm.status.text
            assert bench.joints()[6] > 0.029, "it squeezes"
            arm.opening = 0.06
            arm.until("an open gripper", lambda: bench.joints()[6] > 0.058)
            arm.spin(SETTLE)
            assert arm.status.state == ArmStatus.MOVING, arm.status.text
        finally:
            arm.close()


def test_an_unplugged_bus(arm):
    stops_and_works_again(arm, arm.bench.unplug, "motors do not answer: joints")


def test_an_adapter_that_is_pulled_out_and_put_in_again(arm):
    before = arm.driver.restarts
    stops(arm, arm.bench.remove, "motors do not answer: joints")
    arm.until("a child that looks for it", lambda: arm.driver.restarts > before)
    answer = arm.call("reset_estop")
    assert not answer.success and "motors do not answer" in answer.message
    arm.recover()


# "over-current for 20 cycles": the library deadlocks.


def test_too_much_torque(arm):
    stops_and_works_again(arm, lambda: arm.bench.claim_torque(4, 45.0), "too much torque: joint 3")


def test_an_over_current_that_lasts_until_the_library_deadlocks(arm):
    arm.move()
    begin, before = time.monotonic(), arm.driver.restarts
    arm.bench.claim_torque(1, 45.0)
    arm.until("the deadlocked child's end", lambda: arm.driver.restarts > before)
    arm.until("its successor", lambda: arm.driver.report is not None)
    assert arm.last_change(begin) < LIMIT
    assert "too much torque: joint 1" in arm.status.text
    arm.until("diagnostics", lambda: "too much torque: joint 1" in arm.diagnostics, 5.0)
    assert arm.status.state == ArmStatus.ESTOP and arm.node.active
    arm.recover()


def test_a_library_that_hangs_is_killed_and_started_again(arm):
    before = arm.driver.restarts
    stops_and_works_again(arm, lambda: os.kill(arm.driver.pid, signal.SIGSTOP), "hangs")
    assert arm.driver.restarts > before


# "a frame with CAN id 8 or more": the library aborts, no damping.


@pytest.mark.parametrize("id", [8, 0x123])
def test_a_foreign_frame(arm, id):
    stops_and_works_again(arm, lambda: arm.bench.inject(id), "id above 7")


# "no new command": the library holds the last target for ever.


def test_no_new_command(arm):
    def fall_silent():
        arm.moving = False

    stops(
        arm,
        fall_silent,
        "no ee_command for 0.2 s",
        state=ArmStatus.HOLD,
        reason=ArmStatus.WATCHDOG,
    )
    assert arm.bench.stiffness()[1] > 0, "it holds"
    arm.move()


# "SIGTERM": the library dies at once, no damping. "SIGINT or normal exit": it damps and leaves.


def test_sigterm_damps_before_the_child_leaves(arm):
    child = arm.driver.pid

    def terminate():
        os.kill(child, signal.SIGTERM)

    stops(arm, terminate, "told to end")
    lift(arm)  # it sinks while one leaves the bus and the other has not come
    arm.recover()
    last = arm.bench.record.targets(1)
    assert arm.driver.pid != child and last.kp[-1] > 0, "another one drives now"


def test_sigint_is_the_drivers_business(arm):
    arm.move()
    child = arm.driver.pid
    os.kill(child, signal.SIGINT)
    arm.spin(SETTLE)
    assert (arm.status.state, arm.driver.pid) == (ArmStatus.MOVING, child), arm.status.text


def test_leaving_damps_and_the_node_can_come_back(arm):
    arm.move()
    begin = time.monotonic()
    arm.node.trigger_deactivate()
    arm.node.trigger_cleanup()
    assert arm.last_change(begin) < LIMIT
    assert arm.damped()
    assert arm.bench.peers() == 0
    arm.moving = False
    arm.bench.guide(START)  # it has sunk since
    arm.until("the hand", lambda: np.abs(arm.bench.joints() - START).max() < 0.3)
    arm.start()
    arm.bench.let_go()
    arm.move()


# "reset_to_home, constructor, destructor": hold the lock for about 2 s.


def test_the_way_home_is_the_drivers_own(arm):
    arm.move()
    arm.until("a way to go home", lambda: abs(arm.bench.joints()[0]) > 0.1)
    arm.moving, arm.resting = False, True
    arm.until("READY", lambda: arm.status.state == ArmStatus.READY)
    begin = len(arm.heard)
    assert arm.call("home").success
    arm.until("the motion", lambda: arm.status.state == ArmStatus.MOVING)
    arm.until("home", lambda: arm.status.state == ArmStatus.READY)
    assert np.max(np.diff(arm.heard[begin:])) < 1.0, "states kept coming"
    arm.until("rest", lambda: np.abs(arm.bench.joints()[:6] - HOME).max() < 0.02)


def test_an_emergency_stop_ends_the_way_home(arm):
    arm.move()
    arm.until("a way to go home", lambda: abs(arm.bench.joints()[0]) > 0.1)
    arm.moving, arm.resting = False, True
    arm.until("READY", lambda: arm.status.state == ArmStatus.READY)
    assert arm.call("home").success
    begin = time.monotonic()
    assert arm.call("estop").success
    arm.until("damping", arm.damped, 2.0)
    arm.spin(SETTLE)
    assert arm.last_change(begin) < LIMIT
    assert arm.status.state == ArmStatus.ESTOP


# "`get_joint_state().pos()` on a temporary": dangling memory.


def test_what_is_read_is_where_the_arm_is(arm):
    arm.until("states", lambda: len(arm.states) > 100)
    truth = arm.bench.joints()
    for _ in range(200):
        arm.executor.spin_once(timeout_sec=0.01)
        assert np.abs(arm.driver.report.positions - truth[:6]).max() < 0.01
        assert abs(arm.driver.report.gripper - truth[6]) < 0.002


# No row of the table: before the library has come up.


def test_an_interface_that_is_not_there(monkeypatch):
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, can_interface="can9")
        try:
            arm.node.trigger_configure()
            arm.node.trigger_activate()
            arm.until("the reason", lambda: "'can9'" in arm.status.text)
            assert arm.status.state == ArmStatus.ESTOP and arm.node.active
            answer = arm.call("reset_estop")
            assert not answer.success and "can9" in answer.message
        finally:
            arm.close()


def test_motors_without_power_at_the_start(cold_arm):
    cold_arm.bench.silence()
    cold_arm.node.trigger_configure()
    cold_arm.node.trigger_activate()
    cold_arm.until("the reason", lambda: "power" in cold_arm.status.text)
    assert cold_arm.status.state == ArmStatus.ESTOP
    cold_arm.recover()


def test_an_arm_outside_a_joints_range_is_not_engaged(monkeypatch):
    """It would be pulled back to the range's end at once."""
    with CanBench(start=(0.0, -0.09, 0.0, 0.0, 0.0, 0.0, 0.04)) as bench:
        arm = ArmBench(bench, monkeypatch)
        try:
            arm.node.trigger_configure()
            arm.node.trigger_activate()
            arm.until("the reason", lambda: "outside its range: guide it back" in arm.status.text)
            assert "joint 2" in arm.status.text
            assert (arm.status.state, arm.status.reason) == (
                ArmStatus.ESTOP,
                ArmStatus.BACKEND_LOST,
            )
            arm.spin(SETTLE)
            assert all(bench.record.targets(motor).kp.max() == 0.0 for motor in bench.record.kinds)
            bench.guide(START)
            arm.until("the hand", lambda: np.abs(bench.joints() - START).max() < 0.1)
            assert arm.call("reset_estop").success
            arm.until("engaged", lambda: arm.driver.engaged)
            bench.let_go()
            arm.move()
        finally:
            arm.close()


# The emergency stop.


@pytest.mark.parametrize("way", ["service", "topic"])
def test_emergency_stop(arm, way):
    arm.move()
    arm.until("the ear", lambda: arm.stop_topic.get_subscription_count() == 1)
    begin = time.monotonic()
    if way == "service":
        assert arm.call("estop").success
    else:
        arm.stop_topic.publish(Bool(data=True))
    arm.until("ESTOP", lambda: arm.status.state == ArmStatus.ESTOP)
    arm.until("damping", arm.damped, 2.0)
    assert arm.last_change(begin) < LIMIT
    arm.spin(SETTLE)
    assert arm.status.state == ArmStatus.ESTOP
    arm.recover()


FLOOD = """
import time
import rclpy
from vla_msgs.msg import EndEffectorCommand, EndEffectorState
from vla_policy_node.qos import COMMAND
rclpy.init()
node = rclpy.create_node("flood")
out = node.create_publisher(EndEffectorCommand, "ee_command", COMMAND)
message = EndEffectorCommand(mode=EndEffectorCommand.MOVE)
def take(state):
    message.header.stamp = message.observation_stamp = state.header.stamp
    message.pose = state.commanded
    message.gripper = state.gripper_commanded
node.create_subscription(EndEffectorState, "ee_state", take, COMMAND)
def say():
    message.sequence += 1
    message.pose.position.y += 1e-4
    out.publish(message)
node.create_timer(0.001, say)
rclpy.spin(node)
"""


@pytest.fixture
def flood():
    process = subprocess.Popen([sys.executable, "-c", FLOOD])
    yield
    process.kill()
    process.wait()


def test_emergency_stop_in_a_flood(arm, flood):
    """Of 1000 commands a second, from another process."""
    arm.until("the flood", lambda: arm.node._flooded > 500)
    begin = time.monotonic()
    arm.stop_topic.publish(Bool(data=True))
    arm.until("ESTOP", lambda: arm.status.state == ArmStatus.ESTOP)
    assert time.monotonic() - begin < LIMIT
    arm.until("damping", arm.damped, 2.0)
    assert arm.last_change(begin) < LIMIT


def test_emergency_stop_while_the_child_hangs(arm):
    arm.move()
    os.kill(arm.driver.pid, signal.SIGSTOP)
    begin, before = time.monotonic(), arm.driver.restarts
    assert arm.call("estop").success
    words = "emergency stop; stopped until reset_estop"
    arm.until("ESTOP", lambda: arm.status.state == ArmStatus.ESTOP, 2.0)
    assert (arm.status.reason, arm.status.text) == (ArmStatus.EMERGENCY_STOP, words)
    arm.until(
        "diagnostics", lambda: words in arm.diagnostics and arm.level == DiagnosticStatus.ERROR
    )
    arm.until("another child", lambda: arm.driver.restarts > before)
    arm.until("damping", arm.damped)
    assert arm.last_change(begin) < LIMIT
    arm.recover()
