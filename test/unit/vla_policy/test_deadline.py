"""Laws of the deadline controller."""

from __future__ import annotations

from itertools import pairwise

from vla_policy.efficiency.budget import Budget
from vla_policy.efficiency.deadline import PATIENCE, DeadlineController, ladder

CEILING = Budget(language_layers=12, visual_tokens=72, head_cache_interval=1, head_steps=4)
LIMITS = {
    "language_layers": (1, 12),
    "visual_tokens": (1, 72),
    "head_cache_interval": (1, 4),
    "head_steps": (1, 4),
    "reused_tokens": (0, 0),
}


def cost(budget: Budget) -> float:
    """Milliseconds of an imagined machine."""
    head = -(-budget.head_steps // budget.head_cache_interval)
    return 2.0 + budget.language_layers * (1.0 + budget.visual_tokens / 36) + 3.0 * head


def test_every_rung_of_the_ladder_is_cheaper_and_within_the_limits() -> None:
    rungs = ladder(CEILING, LIMITS)
    costs = [cost(budget) for budget in rungs]
    assert rungs[0] == CEILING and len(rungs) > 5
    assert all(after < before for before, after in pairwise(costs))
    for budget in rungs:
        budget.check(LIMITS)


def test_a_policy_without_methods_has_only_the_heads_rungs() -> None:
    limits = {**LIMITS, "language_layers": (12, 12), "visual_tokens": (72, 72)}
    assert [budget.head_cache_interval for budget in ladder(CEILING, limits)] == [1, 2, 4]


def test_it_goes_down_one_rung_a_late_chunk_until_the_deadline_is_met() -> None:
    controller = DeadlineController(CEILING, LIMITS, deadline=28.0)
    rungs = ladder(CEILING, LIMITS)
    for rung in range(1, len(rungs)):
        if cost(controller.budget) <= 28.0:
            break
        assert controller.see(cost(controller.budget))
        assert controller.budget == rungs[rung]
    assert controller.lowered and cost(controller.budget) <= 28.0
    assert not controller.see(cost(controller.budget))


def test_it_stops_at_the_lowest_rung() -> None:
    controller = DeadlineController(CEILING, LIMITS, deadline=1.0)
    changes = [controller.see(cost(controller.budget)) for _ in range(40)]
    assert changes == sorted(changes, reverse=True)
    assert controller.budget == ladder(CEILING, LIMITS)[-1]


def test_a_time_that_is_no_number_counts_as_late() -> None:
    assert DeadlineController(CEILING, LIMITS, deadline=10.0).see(float("nan"))


def test_it_rises_only_after_many_chunks_with_room() -> None:
    controller = DeadlineController(CEILING, LIMITS, deadline=10.0)
    controller.see(11.0)
    low = controller.budget
    for _ in range(PATIENCE - 1):
        assert not controller.see(5.0)
    assert not controller.see(9.0)  # in time, but without room: counted from the start again
    for _ in range(PATIENCE - 1):
        assert not controller.see(5.0)
    assert controller.budget == low
    assert controller.see(5.0) and controller.budget == CEILING


def test_a_rise_that_was_late_makes_the_next_one_wait_twice_as_long() -> None:
    controller = DeadlineController(CEILING, LIMITS, deadline=10.0)
    waits, waited = [], 0
    controller.see(11.0)
    for _ in range(8 * PATIENCE):
        waited += 1
        if controller.see(5.0 if controller.lowered else 11.0) and not controller.lowered:
            waits.append(waited)
            waited = -1  # the late chunk at the top does not count
    assert waits[:2] == [PATIENCE, 2 * PATIENCE]


def test_between_room_and_deadline_nothing_changes() -> None:
    controller = DeadlineController(CEILING, LIMITS, deadline=10.0)
    controller.see(11.0)
    assert not any(controller.see(9.0) for _ in range(100 * PATIENCE))
