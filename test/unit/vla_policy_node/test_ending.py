"""How a node's process ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import rclpy

from vla_policy_node import ending, lifecycle


class Nodes:
    """Stands for a node; notes whether it was left as it should be."""

    context: rclpy.Context

    def __init__(self) -> None:
        self.ended: list[str] = []

    def rest(self) -> None:
        self.ended.append("rested")

    def leave(self) -> None:
        self.ended.append("left")

    def destroy_node(self) -> None:
        self.ended.append("destroyed")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.delenv(lifecycle.LAUNCHED, raising=False)
    monkeypatch.setattr(lifecycle.SingleThreadedExecutor, "add_node", lambda *_: True)
    before = {number: signal.getsignal(number) for number in ending.SIGNALS}
    yield Nodes()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_rclpy_turns_into_another_error_ends_the_node_well(node, monkeypatch):
    def spin(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError("Unable to convert call argument") from error
        raise AssertionError("the second signal broke nothing off")

    monkeypatch.setattr(ending, "PATIENCE", -1.0)
    monkeypatch.setattr(lifecycle, "_spin", spin)
    lifecycle.run(lambda: node, [])
    assert node.ended == ["left", "destroyed"]


def test_a_signal_ends_the_node_after_the_callback(node, monkeypatch):
    turns: list[float] = []

    def spin_once(executor: object, timeout: float) -> None:
        turns.append(timeout)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(lifecycle.SingleThreadedExecutor, "spin_once", spin_once)
    node.context = rclpy.get_default_context()
    lifecycle.run(lambda: node, [])
    assert turns == [lifecycle.LOOK_PERIOD] + [0.0] * lifecycle.LAST_SPINS
    assert node.ended == ["rested", "left", "destroyed"]


def test_the_same_error_without_a_signal_is_not_hidden(node, monkeypatch):
    def spin(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(lifecycle, "_spin", spin)
    with pytest.raises(RuntimeError, match="something else"):
        lifecycle.run(lambda: node, [])
    assert node.ended == ["left", "destroyed"]
