"""What the child answers to orders, with a library that does as it is told."""

import socket
import time

import numpy as np
import pytest

from vla_arm.arx5.child import Child
from vla_arm.arx5.library import Reading
from vla_arm.arx5.overload import OVER, Overload
from vla_arm.arx5.wire import MAX_PACKET, ChildConfig, Mode, Order, Report, Verb
from vla_arm.joint_table import HOME, X5

CONFIG = ChildConfig.of_arm(X5, "can0", 0.02)
STEP = 0.004
"""Between looks of the child [s]."""


class FakeLibrary:
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def engage(self, command):
        self.told.append("engage")

    def teach(self):
        self.told.append("teach")

    def damp(self):
        self.told.append("damp")


class Desk:
    """A child that has come up, damped, and the driver's end of its socket."""

    def __init__(self):
        self.link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        other.setblocking(False)
        self.library = FakeLibrary()
        self.child = Child(other, CONFIG)
        self.child._library = self.library
        self.child._overload = Overload(CONFIG, 1.5)
        self.child._mode = Mode.DAMPED
        self.cycle = self.number = 0

    def order(self, verb, *, torque=1.0, speed=1.0, positions=HOME):
        self.number += 1
        order = Order(verb, self.number, time.monotonic(), np.array(positions), 0.0, torque, speed)
        self.link.send(order.pack())

    def look(self, *, positions=HOME, torque=0.0):
        """One turn of the child's loop; joint 3 feels a torque [Nm]. Its report."""
        self.cycle += 1
        joints = np.zeros((3, 6))
        joints[0], joints[2, 2] = positions, torque
        reading = Reading(joints, 0.0, 0.0, 0.0, 0.0, self.cycle * STEP, 0.0)
        self.child._judge(reading, time.monotonic())
        self.child._listen(reading)
        self.child._report(reading, time.monotonic(), self.cycle)
        return Report.unpack(self.link.recv(MAX_PACKET))


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize("verb, mode", [(Verb.ENGAGE, Mode.ENGAGED), (Verb.TEACH, Mode.TEACHING)])
def test_an_order_that_comes_with_an_overload_is_refused_aloud(desk, verb, mode):
    # One reading over a limit stops no arm, yet none is engaged on it: the driver must hear that.
    desk.order(verb)
    report = desk.look(torque=35.0)
    assert (report.mode, report.acknowledged) == (Mode.FAULT, 1)
    assert report.text == "too much torque: joint 3 at 35.0 Nm, limit 30.0"
    assert "engage" not in desk.library.told and "teach" not in desk.library.told
    desk.order(verb)
    report = desk.look()
    assert (report.mode, report.acknowledged, report.text) == (mode, 2, "")


def test_an_arm_that_is_engaged_is_not_stopped_by_another_order_to_engage(desk):
    desk.order(Verb.ENGAGE)
    assert desk.look().mode == Mode.ENGAGED
    desk.order(Verb.ENGAGE)
    assert desk.look(torque=35.0).mode == Mode.ENGAGED
    assert desk.library.told == ["engage"]


def test_an_arm_outside_its_range_is_not_engaged_but_guided_back(desk):
    outside = np.array(HOME)
    outside[1] = X5.lower[1] - 0.08
    desk.order(Verb.ENGAGE)
    report = desk.look(positions=outside)
    assert (report.mode, report.acknowledged) == (Mode.FAULT, 1)
    assert report.text == "joint 2 is 0.08 rad outside its range: guide it back"
    assert desk.library.told == ["damp"]
    desk.order(Verb.ENGAGE)
    assert desk.look().mode == Mode.ENGAGED
    assert desk.library.told == ["damp", "engage"]


def test_an_arm_outside_its_range_can_be_guided(desk):
    desk.order(Verb.TEACH)
    assert desk.look(positions=X5.lower - 0.08).mode == Mode.TEACHING


def test_limits_come_without_any_other_order(desk):
    desk.order(Verb.ENGAGE)
    assert desk.look(torque=20.0).mode == Mode.ENGAGED
    desk.order(Verb.LIMIT, torque=0.5)
    reports = [desk.look(torque=20.0) for _ in range(OVER + 1)]
    assert reports[-1].text == "too much torque: joint 3 at 20.0 Nm, limit 15.0"
    assert reports[-1].acknowledged == 1, "limits are no order to obey"


def test_limits_drop_no_target_and_slow_the_way_to_it(desk):
    desk.order(Verb.ENGAGE)
    desk.look()
    target = np.array(HOME)
    target[0] += 0.1
    desk.order(Verb.FOLLOW, positions=target)
    desk.order(Verb.LIMIT, speed=0.1)
    desk.look()
    begin = time.monotonic()
    way = desk.child._streamer.step(begin + 0.02)[0] - HOME[0]
    assert 0.0 < way <= 0.1 * X5.velocity[0] * 0.02 + 1e-9
