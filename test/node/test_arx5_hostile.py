"""Random hostile commands: nothing outside the limits reaches the motors, judged at the frames."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from vla_msgs.msg import ArmStatus, EndEffectorCommand

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench

from vla_arm.joint_table import X5
from vla_arm.kinematics import ArmKinematics
from vla_policy.conversions import pose_from_message, pose_to_message, set_stamp

SEQUENCES = int(os.environ.get("LEAN_VLA_HOSTILE_SEQUENCES", "10000"))
MOTORS = (1, 2, 4, 5, 6, 7)
SPEED_SCALE, LINEAR_SPEED = 0.3, 0.3
WINDOW = 0.1
"""Speeds are judged over so long [s]: frames come when the machine lets them."""
MARGIN = 0.003
"""Of the tool point outside its box: quanta, ramps and the tolerance of the kinematics [m]."""


class Attacker:
    """Makes sequences of commands; each from the seed alone, given the arm's pose and time."""

    KINDS = (
        "nan",
        "infinite",
        "outside",
        "teleport",
        "past",
        "future",
        "twist",
        "gripper",
        "honest",
    )

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._old: list[EndEffectorCommand] = []

    def sequence(self, state, count) -> list[EndEffectorCommand]:
        kind = self._random.choice(self.KINDS)
        messages = [self._one(kind, state, count + i) for i in range(self._random.integers(1, 5))]
        twist = self._random.random()
        if twist < 0.1:
            messages.reverse()
        elif twist < 0.2:
            messages = messages * 3
        elif twist < 0.3 and self._old:
            messages.append(self._old[self._random.integers(len(self._old))])
        self._old = [*self._old[-50:], messages[0]]
        return messages

    def _one(self, kind, state, number) -> EndEffectorCommand:
        random = self._random
        pose, gripper = pose_from_message(state.commanded).copy(), 0.04
        stamp = state.header.stamp.sec + state.header.stamp.nanosec * 1e-9
        pose[:3] += random.normal(0.0, 0.02, 3)
        if kind == "outside":
            pose[:3] = random.uniform(-3.0, 3.0, 3)
        elif kind == "teleport":
            pose[:3] = random.uniform((0.1, -0.4, 0.0), (0.6, 0.4, 0.5))
        elif kind == "past":
            stamp -= random.uniform(0.0, 100.0)
        elif kind == "future":
            stamp += random.uniform(0.0, 100.0)
        elif kind == "twist":
            pose[3:] += random.normal(0.0, 3.0, 3)
        elif kind == "gripper":
            gripper = float(random.choice([-1.0, 5.0, 1e308, np.nan]))
        message = EndEffectorCommand(mode=EndEffectorCommand.MOVE, sequence=number, gripper=gripper)
        set_stamp(message.header.stamp, max(stamp, 0.0))
        message.observation_stamp = message.header.stamp
        pose_to_message(pose, message.pose)
        if kind in ("nan", "infinite"):
            part = random.choice([message.pose.position, message.pose.orientation])
            setattr(part, str(random.choice(list("xyz"))), np.nan if kind == "nan" else np.inf)
        return message


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_outside_the_limits_reaches_the_motors(monkeypatch):
    limits = {
        "joint_speed_scale": SPEED_SCALE,
        "linear_speed": LINEAR_SPEED,
        "workspace_min_z": 0.1,
        "workspace_max_x": 0.45,
    }
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, **limits)
        try:
            arm.start()
            begin, pid = time.monotonic(), arm.driver.pid
            attack(arm, SEQUENCES // 10)
            memory = psutil.Process().memory_info().rss
            attack(arm, SEQUENCES - SEQUENCES // 10)
            assert psutil.Process().memory_info().rss - memory < 64e6
            assert arm.driver.pid == pid and arm.node.active, arm.status.text
            assert arm.node._controller.counters.accepted > SEQUENCES / 200
            arm.until("a status", lambda: arm.status.state != ArmStatus.INACTIVE)
            judge(bench.record, begin, arm.node._controller.limits)
        finally:
            arm.close()


def attack(arm, sequences):
    attacker, count = Attacker(sequences), 0
    for _ in range(sequences):
        for message in attacker.sequence(arm.states[-1], count):
            arm.node._on_command(message)
            count += 1
        arm.executor.spin_once(timeout_sec=0.001)  # sequences come at about 1 kHz
        arm.executor.spin_once(timeout_sec=0.0)


def judge(record, begin, limits):
    """All that stiff motors were told since ``begin`` is within the limits."""
    ticks, joints = None, []
    for index, motor in enumerate(MOTORS):
        sent = record.targets(motor, begin)
        assert (sent.kp > 0).all(), "the arm was stiff all the time"
        assert (sent.velocity < 0.02).all() and (sent.velocity > -0.02).all()
        quantum = 25.0 / 65535
        assert (sent.position >= X5.lower[index] - quantum).all()
        assert (sent.position <= X5.upper[index] + quantum).all()
        ticks = np.arange(sent.time[0], sent.time[-1], WINDOW) if ticks is None else ticks
        at = np.clip(np.searchsorted(sent.time, ticks), 0, len(sent.time) - 1)
        joints.append(sent.position[at])
        step = np.abs(np.diff(sent.position[at])) / np.maximum(np.diff(sent.time[at]), WINDOW)
        # Two steps may follow one state; over a window that is at most one tick more.
        allowed = X5.velocity[index] * SPEED_SCALE * (1 + 2 * 0.02 / WINDOW)
        assert step.max() <= allowed, (motor, step.max(), allowed)
    kinematics = ArmKinematics(X5)
    tool = np.array([kinematics.forward(q)[:3] for q in np.array(joints).T])
    low, high = limits.box
    assert (tool >= low - MARGIN).all() and (tool <= high + MARGIN).all()
    speed = np.linalg.norm(np.diff(tool, axis=0), axis=1) / WINDOW
    assert speed.max() <= LINEAR_SPEED * 1.02 * (1 + 2 * 0.02 / WINDOW) + MARGIN / WINDOW
