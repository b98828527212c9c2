"""A running graph for each test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from arm_bench import START, ArmBench, CanBench
from graph import Graph


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    graph = Graph(monkeypatch)
    try:
        graph.start()
        yield graph
    finally:
        graph.close()


@pytest.fixture
def cold_arm(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArmBench]:
    """arm_node and driver on the CAN bench, unconfigured."""
    with CanBench(start=START) as bench:
        arm = ArmBench(bench, monkeypatch)
        try:
            yield arm
        finally:
            arm.close()


@pytest.fixture
def arm(cold_arm: ArmBench) -> ArmBench:
    """The same, ready and engaged."""
    cold_arm.start()
    return cold_arm
