"""Random hostile commands: nothing outside the limits reaches the motors, judged at the frames."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from builtin_interfaces.msg import Time
from scipy.spatial.transform import Rotation
from vla_msgs.msg import ArmStatus, EndEffectorCommand

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench

from vla_arm.collision import CollisionModel
from vla_arm.command import Reason
from vla_arm.joint_table import X5
from vla_arm.kinematics import ArmKinematics
from vla_policy.conversions import pose_from_message, pose_to_message, set_stamp

REAL = Path(__file__).parents[2] / "config" / "real.yaml"
SEQUENCES = int(os.environ.get("LEAN_VLA_HOSTILE_SEQUENCES", "10000"))
"""What SAFETY.md promises; fewer while working on something else, more overnight."""
CALM = 0.3
"""Share of the sequences that wait for their turn, so that they are judged one by one; the others
come as a flood, of which the node takes what it has time for."""
MET = (
    Reason.NOT_FINITE,
    Reason.OUT_OF_WORKSPACE,
    Reason.ORIENTATION_JUMP,
    Reason.STALE_COMMAND,
    Reason.STALE_OBSERVATION,
)
"""Reasons for which something must have been refused."""
MOTORS, GRIPPER = (1, 2, 4, 5, 6, 7), 8
GRIPPER_READOUT = 5.03
"""What the gripper's motor reads when it is open [rad]."""
QUANTUM = 25.0 / 65535
"""Of a position in a frame [rad]."""
WINDOW = 0.1
"""Speeds are judged over so long [s]: frames come when the machine lets them."""
MARGIN = 0.003
"""Of the tool point outside its box: quanta, ramps and the tolerance of the kinematics [m]."""
ROTATION = 0.01
"""The same of its orientation [rad]."""
CONTACT = 0.001
"""Depth of shapes in each other or in the table, by quanta and ramps [m]."""


class Attacker:
    """Makes sequences of commands; each from the seed alone, given the arm's pose and time."""

    KINDS = (
        "nan",
        "infinite",
        "outside",
        "teleport",
        "past",
        "future",
        "unseen",
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
        if kind == "unseen":
            message.observation_stamp = Time(sec=int(random.integers(0, 2**31 - 1)))
        pose_to_message(pose, message.pose)
        if kind in ("nan", "infinite"):
            part = random.choice([message.pose.position, message.pose.orientation])
            setattr(part, str(random.choice(list("xyz"))), np.nan if kind == "nan" else np.inf)
        return message


@pytest.mark.slow
@pytest.mark.timeout(200 + SEQUENCES * 0.03)
def test_nothing_outside_the_limits_reaches_the_motors(monkeypatch):
    given = yaml.safe_load(REAL.read_text())["/**/arm_node"]["ros__parameters"]
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch, **given)
        try:
            arm.start()
            arm.until("a state", lambda: bool(arm.states))
            begin, child = time.monotonic(), psutil.Process(arm.driver.pid)
            attack(arm, SEQUENCES // 10)
            before = [process.memory_info().rss for process in (psutil.Process(), child)]
            attack(arm, SEQUENCES - SEQUENCES // 10)
            after = [process.memory_info().rss for process in (psutil.Process(), child)]
            grown = np.subtract(after, before)
            # This process also keeps all that it heard.
            assert grown[0] < 64e6 and grown[1] < 4e6, grown
            assert arm.driver.pid == child.pid and arm.node.active, arm.status.text
            counters = arm.node._controller.counters
            assert counters.accepted > CALM * SEQUENCES / 10
            assert all(counters.refused.get(reason, 0) > 0 for reason in MET), counters.refused
            arm.until("a status", lambda: arm.status.state != ArmStatus.INACTIVE)
            judge(bench.record, begin, arm.node._controller.limits)
        finally:
            arm.close()


def attack(arm, sequences):
    attacker, count = Attacker(sequences), 0
    for number in range(sequences):
        if number % 10 < 10 * CALM:
            arm.until("a state to answer", lambda: arm.node._steps > 0)
        for message in attacker.sequence(arm.states[-1], count):
            arm.node._on_command(message)
            count += 1
        arm.executor.spin_once(timeout_sec=0.001)  # floods come at about 1 kHz
        arm.executor.spin_once(timeout_sec=0.0)


def judge(record, begin, limits):
    """All that stiff motors were told since ``begin`` is within the limits."""
    sent = [record.targets(motor, begin) for motor in (*MOTORS, GRIPPER)]
    for each in sent:
        assert (each.kp > 0).all(), "the arm was stiff all the time"
    for index, each in enumerate(sent[:6]):
        assert (np.abs(each.velocity) < 0.02).all()
        assert (each.position >= X5.lower[index] - QUANTUM).all()
        assert (each.position <= X5.upper[index] + QUANTUM).all()
    ticks = np.arange(sent[0].time[0], sent[0].time[-1], WINDOW)
    at = [np.clip(np.searchsorted(each.time, ticks), 0, len(each.time) - 1) for each in sent]
    position = np.array([each.position[i] for each, i in zip(sent, at, strict=True)]).T
    passed = np.array([np.diff(each.time[i]) for each, i in zip(sent, at, strict=True)]).T
    # Two steps may follow one state; over a window that is at most one tick more.
    passed = np.maximum(passed, WINDOW) * (1 + 2 * 0.02 / WINDOW)
    joints, opening = position[:, :6], position[:, 6] * X5.gripper_max / GRIPPER_READOUT
    speed = np.abs(np.diff(joints, axis=0)) / passed[:, :6]
    assert (speed <= X5.velocity * limits.joint_speed_scale).all(), speed.max(axis=0)
    assert (opening >= -1e-3).all() and (opening <= X5.gripper_max + 1e-3).all()
    assert (np.abs(np.diff(opening)) <= limits.gripper_rate * passed[:, 6] + 1e-3).all()
    kinematics = ArmKinematics(X5)
    pose = np.array([kinematics.forward(q) for q in joints])
    low, high = limits.box
    assert (pose[:, :3] >= low - MARGIN).all() and (pose[:, :3] <= high + MARGIN).all()
    moved = np.linalg.norm(np.diff(pose[:, :3], axis=0), axis=1)
    assert (moved <= limits.linear_speed * 1.02 * passed[:, 0] + MARGIN).all()
    turned = Rotation.from_rotvec(pose[1:, 3:]) * Rotation.from_rotvec(pose[:-1, 3:]).inv()
    assert (turned.magnitude() <= limits.angular_speed * 1.02 * passed[:, 0] + ROTATION).all()
    shapes = CollisionModel(X5, limits.table_z, limits.table_margin)
    depths = np.array([shapes.depths(q, gap) for q, gap in zip(joints, opening, strict=True)])
    assert (depths <= CONTACT).all(), depths.max(axis=0)
