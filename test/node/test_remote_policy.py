"""A policy on another machine: the robot moves by it, holds when the link drops, and goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "doubles"))
sys.path.insert(0, str(Path(__file__).parent))
from graph import Graph, overrides
from rclpy.lifecycle import TransitionCallbackReturn
from served import serving

from vla_policy.remote import client

LIMIT = 0.3


@pytest.fixture
def link() -> Iterator[ExitStack]:
    with ExitStack() as link:
        yield link


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch, link: ExitStack) -> Iterator[Graph]:
    monkeypatch.setattr(client, "RETRY_PERIOD", 0.05)
    graph = Graph(monkeypatch)
    try:
        host, _, port = link.enter_context(serving(graph.policy))[5:].partition(":")
        graph.port = int(port)
        graph.policy_node.set_parameters(overrides(policy_host=host, policy_port=graph.port))
        graph.start()
        yield graph
    finally:
        graph.close()


def test_the_arm_holds_when_the_link_drops_and_goes_on_when_it_is_back(
    graph: Graph, link: ExitStack
) -> None:
    graph.rise()
    assert graph.policy.observations
    start, sequence = graph.steady, graph.commands[-1].sequence
    link.close()
    graph.until("a hold", graph.holding)
    assert "vla serve" in graph.commands[-1].reason
    graph.turn(15)
    assert graph.holding() and graph.last_motion(start) < LIMIT
    link.enter_context(serving(graph.policy, port=graph.port))
    graph.until("motion again", lambda: not graph.holding())
    assert graph.commands[-1].sequence >= sequence


def test_a_host_that_is_not_there_is_said_in_configure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = Graph(monkeypatch)
    try:
        graph.policy_node.set_parameters(
            overrides(policy_host="127.0.0.1", policy_port=9, policy_timeout=1.0)
        )
        assert graph.policy_node.trigger_configure() == TransitionCallbackReturn.FAILURE
    finally:
        graph.close()


def test_a_policy_that_cannot_continue_chunks_is_refused_for_real_time_chunking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = Graph(monkeypatch)
    try:
        graph.policy_node.set_parameters(overrides(chunking="rtc"))
        assert graph.policy_node.trigger_configure() == TransitionCallbackReturn.FAILURE
        graph.policy_node.set_parameters(overrides(chunking="ensemble"))
        assert graph.policy_node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    finally:
        graph.close()
