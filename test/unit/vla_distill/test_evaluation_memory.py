"""A leak is seen in samples of memory, and nothing is seen where there is none."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vla_distill.evaluation.memory import MemoryWatch, growth

TIMES = np.arange(0.0, 1800.0, 2.0)
WARM_UP = 120.0


def series(megabytes: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(TIMES.tolist(), megabytes.tolist(), strict=True))


def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0.0, 0.5, len(TIMES))


def test_a_leak_is_seen_under_noise():
    grown = growth(series(300.0 + 60.0 * TIMES / 3600.0 + noise()), WARM_UP)
    assert grown["slope_mb_per_hour"] == pytest.approx(60.0, abs=1.0)
    # From the middle of the first tenth of what counts to the middle of the last.
    assert grown["growth_mb"] == pytest.approx(60.0 * 0.9 * (1800.0 - WARM_UP) / 3600.0, abs=0.5)
    assert grown["end_mb"] - grown["warm_mb"] == grown["growth_mb"]


def test_warming_up_and_a_passing_peak_are_no_leak():
    flat = 300.0 - 100.0 * (TIMES < WARM_UP) + noise()
    flat[len(TIMES) // 2] += 50.0
    grown = growth(series(flat), WARM_UP)
    assert abs(grown["growth_mb"]) < 0.5
    assert abs(grown["slope_mb_per_hour"]) < 1.0
    assert grown["warm_mb"] == pytest.approx(300.0, abs=0.5)


@pytest.mark.parametrize("samples", [[], [(0.0, 1.0)], [(0.0, 1.0), (200.0, 2.0)]])
def test_without_two_samples_nothing_is_claimed(samples):
    assert np.isnan(list(growth(samples, WARM_UP).values())).all()


def test_the_watch_sees_what_a_node_takes():
    code = "import sys; kept = bytearray(50_000_000); print(flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code, "--ros-args", "-r", "__node:=hungry"]
    watch = MemoryWatch()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as node:
        node.stdout.readline()
        watch.look()
        node.stdin.close()
    watch.look()
    [(_, megabytes)] = watch.samples["hungry"]
    assert 50.0 < megabytes < 100.0
