"""Physics keeps to the wall clock, and is woken when a tick is due rather than to look for one."""

from __future__ import annotations

import pytest

from vla_policy_node.pacer import CATCHING_UP, MAX_BEHIND, Pacer

TICK, LATE = 0.02, 1e-4


class Time:
    """A clock that is set by hand [s]."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("speed", [1.0, 5.0])
def test_one_look_a_tick_and_no_drift_though_each_comes_late(speed: float):
    time = Time()
    pacer, begin = Pacer(TICK, speed, time), time.now
    for count in range(1, 1001):
        time.now += pacer.wait() + LATE
        assert pacer.due()
        assert time.now == pytest.approx(begin + count * TICK / speed + LATE)
    assert pacer.real_time_factor == pytest.approx(speed, rel=0.01)


def test_a_look_too_early_makes_no_tick():
    time = Time()
    pacer = Pacer(TICK, 1.0, time)
    time.now += 0.6 * TICK
    assert not pacer.due()
    assert pacer.wait() == pytest.approx(0.4 * TICK)


def test_it_catches_up_tick_by_tick():
    time = Time()
    pacer, begin = Pacer(TICK, 1.0, time), time.now
    time.now += 4.5 * TICK
    ticks = 0
    while pacer.wait() <= CATCHING_UP * TICK:
        ticks += pacer.due()
        time.now += CATCHING_UP * TICK
    assert ticks == pytest.approx((time.now - begin) / TICK, abs=1.0)


def test_too_far_behind_gives_up_the_time():
    time = Time()
    pacer = Pacer(TICK, 1.0, time)
    time.now += TICK + MAX_BEHIND + 0.3
    assert pacer.due()
    assert pacer.wait() == pytest.approx(TICK)


def test_after_standing_still_a_whole_tick_goes_by():
    time = Time()
    pacer = Pacer(TICK, 1.0, time)
    time.now += 5.0
    pacer.restart()
    assert not pacer.due()
    assert pacer.wait() == pytest.approx(TICK)
