"""Robot time without a clock of the simulation's: stamps are the wall's, and never go back."""

from __future__ import annotations

from itertools import pairwise

from vla_policy_node.world_clock import AHEAD, MAX_BEHIND, RESET_GAP, WorldClock

TICK = 0.02
WALL = 1.7e9


def play(clock: WorldClock, wall: float, seconds: float, rate: float = 1.0) -> list[float]:
    """Stamps of the ticks that may come while the wall clock goes on, looked at ``rate`` times a
    tick; each is held against it."""
    stamps: list[float] = []
    for look in range(round(seconds / TICK * rate)):
        now = wall + look * TICK / rate
        if clock.keep_to(now, (len(stamps) + 1) * TICK):
            stamps.append(clock((len(stamps) + 1) * TICK))
            assert -AHEAD - 1e-6 <= now - stamps[-1] <= MAX_BEHIND + 1e-6
    return stamps


def test_stamps_keep_to_the_wall_clock_from_the_start_and_after_a_reset():
    clock = WorldClock()
    clock.restart(WALL + 0.02)
    first = play(clock, WALL, 2.0)
    assert len(first) >= 90
    clock.restart(WALL + 2.0)
    second = play(clock, WALL + 2.0, 3.0)
    assert second[0] - first[-1] >= RESET_GAP and len(second) >= 90
    assert all(later > earlier for earlier, later in pairwise(first + second))


def test_a_pause_and_slow_physics_are_jumped_over():
    clock = WorldClock()
    clock.restart(WALL)
    before = play(clock, WALL, 1.0)
    assert clock.keep_to(WALL + 9.0, (len(before) + 1) * TICK)
    assert abs(clock((len(before) + 1) * TICK) - (WALL + 9.0)) < 1e-6
    clock.restart(WALL + 20.0)
    assert 40 <= len(play(clock, WALL + 20.0, 3.0, rate=0.5)) <= 75  # every second tick is missed
