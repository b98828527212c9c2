"""kill -9 of any process at any moment leaves the arm held or damped, never moving on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vla_msgs.msg import ArmStatus

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, CanBench

from vla_arm.arx5.driver import MAY_BE_STIFF

LIMIT = 0.3
"""From the kill to the last change of a stiff motor's target [s]."""
DAMPED = 2.0
"""From the order to leave to the first damping frame, where a process must be started for that; 0.2
to 0.6 s here [s]."""
TIMEOUT = 60.0


def starting(arm):
    arm.node.trigger_configure()


def connecting(arm):
    arm.node.trigger_configure()
    arm.until("the child on the bus", lambda: arm.bench.peers() == 1)


def engaging(arm):
    arm.node.trigger_configure()
    arm.until("the child's report", lambda: arm.driver.poll() or arm.driver.report is not None)
    arm.node.trigger_activate()


def standing(arm):
    arm.start()


def moving(arm):
    arm.start()
    arm.move()


def homing(arm):
    moving(arm)
    arm.moving, arm.resting = False, True
    arm.until("READY", lambda: arm.status.state == ArmStatus.READY)
    assert arm.call("home").success


def stopping(arm):
    moving(arm)
    assert arm.call("estop").success


@pytest.mark.parametrize(
    "moment", [starting, connecting, engaging, standing, moving, homing, stopping]
)
def test_a_killed_child(cold_arm, moment):
    arm = cold_arm
    moment(arm)
    begin, before = time.monotonic(), arm.driver.restarts
    os.kill(arm.driver.pid, signal.SIGKILL)
    if not arm.node.active:
        arm.node.trigger_activate()
    arm.until("the stop", lambda: arm.status.state == ArmStatus.ESTOP)
    arm.until("another child", lambda: arm.driver.restarts > before)
    arm.until("its report", lambda: arm.driver.report is not None)
    arm.until("damping", arm.damped)
    assert arm.last_change(begin) < LIMIT
    assert moment is stopping or "killed" in arm.status.text
    arm.recover()


def test_a_child_killed_again_and_again(arm):
    arm.move()
    begin = time.monotonic()
    for _ in range(3):
        arm.until("a child", lambda: arm.driver.pid is not None)
        before = arm.driver.restarts
        os.kill(arm.driver.pid, signal.SIGKILL)
        arm.until("another child", lambda before=before: arm.driver.restarts > before)
    arm.until("its report", lambda: arm.driver.report is not None)
    assert arm.last_change(begin) < LIMIT
    arm.recover()


def retrying(arm):
    """The child is dead, and no other is started yet."""
    os.kill(arm.driver.pid, signal.SIGKILL)
    arm.until("the wait", lambda: arm.driver.pid is None)


def returning(arm):
    """The successor still imports."""
    before = arm.driver.restarts
    retrying(arm)
    arm.until("another child", lambda: arm.driver.restarts > before)


def unseen(arm):
    """The child is dead, and nobody has looked since."""
    os.kill(arm.driver.pid, signal.SIGKILL)


def hanging(arm):
    """The library hangs, and nobody has looked since."""
    os.kill(arm.driver.pid, signal.SIGSTOP)


@pytest.mark.parametrize("fault", [retrying, returning, unseen, hanging])
def test_leaving_just_after_a_fault_damps_the_arm(arm, fault):
    arm.move()
    begin = time.monotonic()
    fault(arm)
    assert not arm.damped()
    told = time.monotonic()
    arm.node.leave()
    assert arm.bench.peers() == 0 and arm.damped()
    assert arm.last_change(begin) < LIMIT
    sent = arm.bench.record.targets(1, told)
    assert sent.time[sent.kp == 0.0][0] - told < DAMPED


def test_a_child_told_to_end_while_it_imports_damps_first(cold_arm):
    arm = cold_arm
    starting(arm)
    os.kill(arm.driver.pid, signal.SIGTERM)
    arm.until("the trouble", lambda: arm.driver.trouble)
    assert "told to end: damped" in arm.driver.trouble
    assert len(arm.bench.record.targets(1).time) > 0 and arm.damped()


def test_leaving_says_so_where_the_arm_cannot_be_damped(arm, monkeypatch):
    said = []
    monkeypatch.setattr(arm.driver, "_log", said.append)
    arm.move()
    retrying(arm)
    arm.bench.remove()
    arm.node.leave()
    assert not arm.damped()
    assert said[-1] == MAY_BE_STIFF


def test_leaving_a_damped_arm_starts_nobody(arm):
    assert arm.call("estop").success
    arm.until("damping", lambda: arm.damped() and not arm.driver.engaged)
    before = arm.driver.restarts
    retrying(arm)
    driver = arm.driver
    driver.stop()
    assert driver.restarts == before


DRIVING = """
import time
from vla_arm.arx5.driver import Driver
from vla_arm.joint_table import X5
from vla_arm.arx5.wire import ChildConfig
driver = Driver(ChildConfig.of_arm(X5, "can0", 0.02))
driver.start()
print(driver.pid, flush=True)
while True:
    for report in driver.poll():
        if not driver.engaged:
            driver.engage()
            target = report.positions.copy()
        else:
            target[0] += 0.005
            driver.follow(target, 0.04)
    time.sleep(0.002)
"""


@pytest.fixture
def driving():
    """A bench, a process that decides and moves joint 1, and the id of its child."""
    with CanBench(start=START) as bench:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVING],
            env={**os.environ, **bench.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            child = int(process.stdout.readline())
            until("motion", lambda: bench.joints()[0] > 0.1)
            yield bench, process, child
        finally:
            process.kill()
            process.wait()


def until(what, done):
    end = time.monotonic() + TIMEOUT
    while not done():
        assert time.monotonic() < end, f"{what}: not within {TIMEOUT} s"
        time.sleep(0.01)


def test_a_killed_decider_leaves_the_arm_damped(driving):
    bench, process, _ = driving
    begin = time.monotonic()
    process.kill()
    process.wait()
    until("the child's end", lambda: bench.peers() == 0)
    assert set(bench.stiffness().values()) == {0.0}
    assert (bench.record.targets(1, begin + LIMIT).kp == 0.0).all()


def test_a_decider_that_hangs_leaves_the_arm_held(driving):
    bench, process, _ = driving
    begin = time.monotonic()
    process.send_signal(signal.SIGSTOP)
    until("some time", lambda: time.monotonic() > begin + 2 * LIMIT)
    assert bench.record.last_change(begin) < LIMIT
    assert bench.stiffness()[1] > 0.0
    process.send_signal(signal.SIGCONT)
    at = bench.joints()[0]
    until("motion again", lambda: bench.joints()[0] > at + 0.02)


def test_both_killed_leave_the_arm_held(driving):
    bench, process, child = driving
    process.send_signal(signal.SIGSTOP)  # lest it starts another
    os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()
    until("their end", lambda: bench.peers() == 0)
    last = bench.record.targets(1)
    assert last.kp[-1] > 0.0
    until("rest at the last target", lambda: abs(bench.joints()[0] - last.position[-1]) < 0.01)
    assert len(bench.record.targets(1).time) == len(last.time)
