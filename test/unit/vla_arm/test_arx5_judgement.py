"""The child's judgement: freshness from the data, ramps that never exceed, packets that survive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_arm.arx5.freshness import GRIPPER_MOVED, MOVED, STANDING, Freshness, Standstill
from vla_arm.arx5.library import Reading
from vla_arm.arx5.overload import OVER, Overload
from vla_arm.arx5.streamer import MAX_AGE, MAX_JUMP, Streamer
from vla_arm.arx5.wire import ChildConfig, Mode, Order, Report, Verb
from vla_arm.joint_table import OUTSIDE, X5, outside

CONFIG = ChildConfig.of_arm(X5, "can0", 0.02)
STEP = 0.004


def watch(freshness, states, targets):
    """Joints found silent, and when."""
    for tick, (state, target) in enumerate(zip(states, targets, strict=True)):
        if silent := freshness.silent(state, target, tick * STEP):
            return silent, tick * STEP
    return [], None


def test_a_motor_that_rested_is_not_silent_when_its_target_begins_to_move():
    freshness = Freshness()
    still = [np.zeros((3, 6))] * 500
    answers = [np.full((3, 6), 0.01 * tick) for tick in range(3, 100)]
    targets = [np.zeros(6)] * 498 + [np.full(6, 0.005 * tick) for tick in range(99)]
    assert watch(freshness, still + answers, targets) == ([], None)


def test_only_the_motor_that_does_not_answer_is_named_and_in_time():
    states, targets = [], []
    for tick in range(200):
        state = np.full((3, 6), 0.001 * tick)
        state[:, 3] = 0.5
        states.append(state)
        targets.append(np.full(6, 0.001 * tick))
    silent, when = watch(Freshness(), states, targets)
    assert silent == [4]
    assert when <= STANDING + MOVED / 0.001 * STEP + 3 * STEP


def gripper(seconds, *, answers, sent):
    """A gripper's motor among six joints that stand; its numbers follow what was sent, or not."""
    looks = int(seconds / STEP)
    states, targets = np.ones((looks, 3, 7)), np.ones((looks, 7))
    targets[:, 6] = [sent(look * STEP) for look in range(looks)]
    if answers:
        states[:, 2, 6] = np.round(targets[:, 6] / 1e-4)
    return states, targets


def close(time):
    """From 40 mm to 10 mm at 0.2 m/s."""
    return max(0.04 - 0.2 * time, 0.01)


def squeeze(time):
    """The same, up to where the library stops at an object's resistance."""
    return max(close(time), 0.03)


@pytest.mark.parametrize("answers, sent", [(True, close), (True, squeeze), (False, lambda t: 0.04)])
def test_a_gripper_that_moves_squeezes_or_rests_is_not_silent(answers, sent):
    freshness = Freshness([MOVED] * 6 + [GRIPPER_MOVED])
    assert watch(freshness, *gripper(3.0, answers=answers, sent=sent)) == ([], None)


def test_a_gripper_that_does_not_answer_is_named_and_in_time():
    freshness = Freshness([MOVED] * 6 + [GRIPPER_MOVED])
    silent, when = watch(freshness, *gripper(3.0, answers=False, sent=close))
    assert silent == [7]
    assert when <= STANDING + GRIPPER_MOVED / 0.2 + 3 * STEP


def test_a_standstill_lasts_until_any_number_changes():
    standstill, state = Standstill(), np.zeros((3, 7))
    assert standstill.lasts(state, 1.0) == 0.0
    assert standstill.lasts(state, 3.0) == 2.0
    state[2, 6] = 1e-9
    assert standstill.lasts(state, 4.0) == 0.0
    assert standstill.lasts(state, 4.5) == 0.5


def test_an_arm_that_stands_is_never_silent():
    assert watch(Freshness(), [np.ones((3, 6))] * 1000, [np.ones(6)] * 1000) == ([], None)


@settings(deadline=None)  # a law, whatever the machine does meanwhile
@given(
    st.lists(st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=7, max_size=7)),
    st.floats(0.01, 2.0),
)
def test_whatever_is_asked_the_stream_stays_in_range_and_speed(wishes, scale):
    streamer = Streamer(CONFIG)
    streamer.limit(scale)
    speed = X5.velocity * min(scale, 1.0)
    now = 10.0
    streamer.anchor(np.array((0.0, 1.0, 1.0, 0.0, 0.0, 0.0)), 0.04, now)
    last = streamer.output
    for number, wish in enumerate(wishes, 1):
        near = last + np.clip(np.array(wish), -MAX_JUMP, MAX_JUMP)
        streamer.take(Order(Verb.FOLLOW, number, now, near[:6], near[6], 1.0, scale), now)
        for _ in range(6):
            now += STEP
            output = streamer.step(now)
            assert np.isfinite(output).all()
            assert (output[:6] >= X5.lower).all() and (output[:6] <= X5.upper).all()
            assert (np.abs(output - last)[:6] <= speed * STEP + 1e-12).all()
            last = output


def test_stale_reordered_and_far_targets_are_refused():
    streamer = Streamer(CONFIG)
    start = np.array((0.0, 1.0, 1.0, 0.0, 0.0, 0.0))
    streamer.anchor(start, 0.0, 1.0)

    def order(number, time=1.0, shift=0.0):
        return Order(Verb.FOLLOW, number, time, start + shift, 0.0, 1.0, 1.0)

    assert streamer.take(order(2), 1.0)
    assert not streamer.take(order(2), 1.0)
    assert not streamer.take(order(1), 1.0)
    assert not streamer.take(order(3, time=1.0), 1.0 + 2 * MAX_AGE)
    assert not streamer.take(order(4, time=2.0), 1.0)
    assert not streamer.take(order(5, shift=2 * MAX_JUMP), 1.0)


def test_an_arm_outside_its_range_is_named_and_by_how_much():
    assert outside(X5.lower - OUTSIDE / 2, X5.lower, X5.upper) == ""
    assert outside(X5.upper + OUTSIDE / 2, X5.lower, X5.upper) == ""
    for at, by in ((X5.lower, -0.08), (X5.upper, 0.08)):
        far = at + np.array((0.0, by, 0.0, 0.0, 0.0, 0.0))
        text = "joint 2 is 0.08 rad outside its range: guide it back"
        assert outside(far, X5.lower, X5.upper) == text


def reading(cycle, *, torque=0.0, gripper=0.0, speed=0.0):
    """A state in which only joint 3 and the gripper feel and do anything."""
    joints = np.zeros((3, 6))
    joints[1, 2], joints[2, 2] = speed, torque
    return Reading(joints, 0.04, 0.0, gripper, 0.04, cycle * 0.002, 0.0)


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"torque": -30.0}, "too much torque: joint 3 at -30.0 Nm, limit 24.0"),
        ({"gripper": 1.4}, "too much torque: gripper at 1.4 Nm, limit 1.2"),
        ({"speed": 8.0}, "too fast: joint 3 at 8.0 rad/s"),
    ],
)
def test_what_is_over_its_limit_for_some_cycles_is_named(fault, words):
    overload = Overload(CONFIG, 1.5)
    answers = [overload.judge(reading(cycle, **fault), 0.8) for cycle in range(OVER)]
    assert answers == [""] * (OVER - 1) + [words]
    assert overload.newest == words
    assert overload.judge(reading(OVER), 0.8) == "" and overload.newest == ""


def test_one_cycle_read_often_is_one_cycle():
    # The library's loop may be late: what it read once proves no more by being looked at again.
    overload = Overload(CONFIG, 1.5)
    assert [overload.judge(reading(1, torque=30.0), 0.8) for _ in range(9)] == [""] * 9


def test_packets_survive_the_way():
    order = Order(Verb.FOLLOW, 7, 1.5, np.arange(6.0), 0.03, 0.8, 0.5)
    back = Order.unpack(order.pack())
    assert back.verb == Verb.FOLLOW and back.number == 7
    assert np.array_equal(back.positions, order.positions)
    assert (back.gripper, back.torque_scale, back.speed_scale) == (0.03, 0.8, 0.5)
    report = Report(Mode.FAULT, 3, 9, 2.5, np.arange(6.0), np.ones(6), np.zeros(6), 0.01, "é" * 9)
    back = Report.unpack(report.pack())
    assert back.text == "é" * 9 and back.mode == Mode.FAULT and back.tick == 9
    assert ChildConfig.from_json(CONFIG.to_json()) == CONFIG
