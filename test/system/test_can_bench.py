"""The vendor's library on the bench: it works, and it fails as documented."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from can_bench import CanBench

PROGRAM = """
import sys, time
import numpy as np
import arx5_interface as arx5

robot = arx5.RobotConfigFactory.get_instance().get_config("X5")
control = arx5.ControllerConfigFactory.get_instance().get_config("joint_controller", 6)
arm = arx5.Arx5JointController(robot, control, "can0")

def state():
    return arm.get_joint_state()

def send(q, gripper):
    command = arx5.JointState(6)
    command.pos()[:] = q
    command.gripper_pos = gripper
    arm.set_joint_cmd(command)

first = state()
start, opening = np.array(first.pos()), first.gripper_pos
send(start, opening)
time.sleep(0.02)
arm.set_gain(arx5.Gain(control.default_kp, control.default_kd, 5.0, 0.2))
"""
MOVE = """
for step in range(200):
    send(start + 0.3 * (step + 1) / 200 * np.array([1, -1, 0.5, 1, 1, 1]), opening)
    time.sleep(0.005)
time.sleep(0.5)
print("GOAL", *(start + 0.3 * np.array([1, -1, 0.5, 1, 1, 1])), flush=True)
"""
STAY = "\nprint('STANDING', flush=True)\nwhile True: state(); time.sleep(0.01)\n"
TIMEOUT = 20.0


def program(bench, code):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code],
        env={**os.environ, **bench.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def line(process, word):
    for text in process.stdout:
        if text.startswith(word):
            return text.split()[1:]
    raise AssertionError(f"{word}: the program has ended with {process.wait()}")


@pytest.fixture
def bench():
    with CanBench() as bench:
        yield bench


@pytest.fixture
def standing(bench):
    process = program(bench, STAY)
    try:
        line(process, "STANDING")
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_motion_ends_where_it_was_sent(bench):
    process = program(bench, MOVE + "time.sleep(5.0)\nimport os; os._exit(0)")
    goal = np.array([float(word) for word in line(process, "GOAL")])
    end = time.monotonic() + 5.0  # the library's gravity compensation takes a second to settle
    while np.abs(bench.joints()[:6] - goal).max() > 0.0015:
        assert time.monotonic() < end, bench.joints()[:6] - goal
        time.sleep(0.05)
    process.kill()
    process.wait(TIMEOUT)
    sent = bench.record.targets(1)
    assert sent.kp.max() == pytest.approx(80, abs=0.2)
    assert sent.position[-1] == pytest.approx(goal[0], abs=0.001)


def test_silent_motors_freeze_the_state_and_not_the_library(bench, standing):
    bench.silence()
    before = len(bench.record.rows())
    while len(bench.record.rows()) < before + 200:
        time.sleep(0.01)
    assert standing.poll() is None


def test_over_current_ends_the_frames_and_hangs_the_program(bench, standing):
    bench.claim_torque(1, 45.0)
    end = time.monotonic() + TIMEOUT
    while True:
        before = len(bench.record.rows())
        time.sleep(0.2)
        if len(bench.record.rows()) == before:
            break
        assert time.monotonic() < end
    standing.send_signal(signal.SIGTERM)  # Python never gets to run a handler, but has none either
    assert standing.wait(TIMEOUT) == -signal.SIGTERM


def test_a_foreign_frame_aborts_the_program(bench, standing):
    bench.inject(0x123)
    assert standing.wait(TIMEOUT) == -signal.SIGABRT


def test_sigterm_leaves_the_arm_stiff(bench, standing):
    # The library sends new gains with its next cycle, up to some 20 ms after set_gain returned.
    end = time.monotonic() + TIMEOUT
    while bench.stiffness()[1] < 70:
        assert time.monotonic() < end, "the gains never came to the motors"
    standing.terminate()
    assert standing.wait(TIMEOUT) == -signal.SIGTERM
    assert bench.stiffness()[1] > 70


def test_an_interface_that_is_not_there_is_refused(bench):
    code = PROGRAM.replace("can0", "can7")
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **bench.environment},
        capture_output=True,
        timeout=TIMEOUT,
    )
    assert process.returncode != 0
