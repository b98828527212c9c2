"""What is told of a router: by phase, by touch, from chunk to chunk."""

from __future__ import annotations

import numpy as np
import pytest

from vla_distill.benchmark.routing import (
    RoutedChunk,
    activation,
    by_phase,
    changes,
    listen,
    touch_difference,
)
from vla_distill.benchmark.routing_page import draw, page
from vla_policy.model.policy import VlaPolicy


def chunk(seed: int, time: float, touching: bool, *layers: int) -> RoutedChunk:
    return RoutedChunk("pick", seed, time, "carry" if touching else "reach", touching, layers)


EPISODES = [
    chunk(0, 0.0, False, 0),
    chunk(0, 0.2, False, 0),
    chunk(0, 0.4, True, 0, 1, 2),
    chunk(1, 0.0, False, 0, 2),
    chunk(1, 0.2, True, 0, 1, 2),
    chunk(2, 0.0, False, 1),  # never touches: it says nothing of the difference
]


def test_layers_are_counted_by_task_and_phase() -> None:
    reach, carry = by_phase(EPISODES, 3)
    assert (reach["phase"], reach["chunks"], reach["layers"]) == ("reach", 4, 1.25)
    assert reach["activation"] == [0.75, 0.25, 0.25] and carry["activation"] == [1.0, 1.0, 1.0]
    np.testing.assert_array_equal(activation([], 3), 0.0)


def test_touching_is_compared_within_episodes() -> None:
    found = touch_difference(EPISODES)
    assert found is not None and found.value == pytest.approx((2.0 + 1.0) / 2)
    assert 1.0 <= found.low <= found.value <= found.high <= 2.0
    assert touch_difference(EPISODES[-1:]) is None


def test_layers_that_start_or_stop_are_counted_within_episodes() -> None:
    assert changes(EPISODES) == pytest.approx((0 + 2 + 1) / 3)
    assert changes(EPISODES[:1]) == 0.0


def test_every_chunk_of_an_episode_is_heard_with_its_phase(tmp_path) -> None:
    policy = VlaPolicy.random("test")
    heard = listen(policy, ["reach"], [7], batch=1)
    times = [each.time for each in heard]
    assert times == sorted(times) and times[0] == 0.0
    np.testing.assert_allclose(np.diff(times), 0.2)  # a chunk is asked for every two steps
    assert all(each.phase and each.layers_run == (0, 1, 2) for each in heard)
    record = {
        "policy": "p",
        "episodes": 1,
        "seed": 7,
        "command": "c",
        "commit": "0",
        "rows": by_phase(heard, 3),
        "touching": None,
        "changes": 0.0,
    }
    draw(record["rows"], tmp_path / "routing.png")
    assert (tmp_path / "routing.png").stat().st_size > 1000
    assert "| reach |" in page(record, "routing.png")
