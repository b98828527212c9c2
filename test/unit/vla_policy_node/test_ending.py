"""How a node's process ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest
import rclpy

from vla_policy_node import lifecycle


class Nodes:
    """Stands for a node; notes whether it was left as it should be."""

    context: rclpy.Context

    def __init__(self) -> None:
        self.ended: list[str] = []

    def leave(self) -> None:
        self.ended.append("left")

    def destroy_node(self) -> None:
        self.ended.append("destroyed")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.delenv(lifecycle.LAUNCHED, raising=False)
    monkeypatch.setattr(lifecycle.SingleThreadedExecutor, "add_node", lambda *_: True)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Nodes()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_rclpy_turns_into_another_error_ends_the_node_well(node, monkeypatch):
    def spin(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise RuntimeError("Unable to convert call argument") from error

    monkeypatch.setattr(lifecycle, "_spin", spin)
    lifecycle.run(lambda: node, [])
    assert node.ended == ["left", "destroyed"]


def test_a_signal_that_is_lost_ends_the_node_too(node, monkeypatch):
    turns: list[float] = []

    def spin_once(executor: object, timeout: float) -> None:
        turns.append(timeout)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(lifecycle.SingleThreadedExecutor, "spin_once", spin_once)
    node.context = rclpy.get_default_context()
    lifecycle.run(lambda: node, [])
    assert len(turns) == 1 and node.ended == ["left", "destroyed"]


def test_the_same_error_without_a_signal_is_not_hidden(node, monkeypatch):
    def spin(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(lifecycle, "_spin", spin)
    with pytest.raises(RuntimeError, match="something else"):
        lifecycle.run(lambda: node, [])
    assert node.ended == ["left", "destroyed"]
