"""Times are those of policies that run by themselves, one after the other."""

from __future__ import annotations

from itertools import groupby

import pytest

from vla_distill.benchmark.latency import TURN, WARM_UP, time_in_turns
from vla_distill.errors import DistillError
from vla_policy.model.policy import VlaPolicy


def test_each_turn_is_one_policys_and_begins_with_what_does_not_count(monkeypatch) -> None:
    policies = {name: VlaPolicy.random("test", seed) for seed, name in enumerate(("one", "two"))}
    order, inferred = [], VlaPolicy.infer

    def infer(policy: VlaPolicy, *given: object) -> list:
        order.append(next(name for name, each in policies.items() if each is policy))
        return inferred(policy, *given)

    monkeypatch.setattr(VlaPolicy, "infer", infer)
    found = time_in_turns(policies, TURN + 3)
    turns = [(name, len(list(group))) for name, group in groupby(order)]
    long, short = WARM_UP + TURN, WARM_UP + 3
    assert turns == [("one", long), ("two", long), ("one", short), ("two", short)]
    assert all(0.0 < row["language"]["median"] < row["total"]["median"] for row in found.values())
    with pytest.raises(DistillError, match="chunks: got 0"):
        time_in_turns(policies, 0)
