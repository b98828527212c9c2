"""A running graph for each test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from graph import Graph


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    graph = Graph(monkeypatch)
    try:
        graph.start()
        yield graph
    finally:
        graph.close()
