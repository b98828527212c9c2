"""Compute parameters take effect with the next chunk and drop no command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

sys.path.insert(0, str(Path(__file__).parent))
from graph import Graph, overrides, rising, stamp_of
from scripted_policy import ScriptedPolicy

from vla_policy.contract import ComputeReport
from vla_policy.efficiency import deadline
from vla_policy.efficiency.budget import Budget
from vla_policy_node.policy_node import PolicyNode


class Plan:
    """An adjustable plan that computes nothing."""

    limits: ClassVar = {
        "language_layers": (1, 12),
        "visual_tokens": (1, 72),
        "head_cache_interval": (1, 4),
        "head_steps": (1, 4),
    }
    default = whole = Budget(12, 72, 1, 4)

    def __init__(self) -> None:
        self.budget = self.default

    def can_have_made(self, report: ComputeReport) -> bool:
        return len(report.layers_run) == self.budget.language_layers


class Adjustable(ScriptedPolicy):
    """Reports what its budget says.

    Attributes:
        takes: milliseconds of a chunk with a budget.
        off: how far beside the plan it aims with less than all layers [m].
    """

    def __init__(self, plans) -> None:
        super().__init__(plans)
        self.plan = Plan()
        self.takes: Callable[[Budget], float] = lambda budget: 1.0
        self.off = 0.0

    def _one(self, observation, memory):
        chunk = super()._one(observation, memory)
        budget = self.plan.budget
        report = ComputeReport(
            layers_run=tuple(range(budget.language_layers)),
            visual_tokens=(72, budget.visual_tokens),
            head_steps=(budget.head_steps, budget.head_steps),
            milliseconds={"total": self.takes(budget)},
        )
        targets = chunk.targets.copy()
        if budget.language_layers < 12:
            targets[:, 1] += self.off
        return replace(chunk, report=report, targets=targets)


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    graph = Graph(monkeypatch)
    graph.policy = Adjustable({"rise": rising()})
    try:
        graph.start()
        yield graph
    finally:
        graph.close()


def set_parameter(node: PolicyNode, name: str, value: object):
    return node.set_parameters([Parameter(f"compute.{name}", value=value)])[0]


def commands_answer_states(graph: Graph, since: int) -> None:
    """Each state since then was answered, and none of it with a hold."""
    stamps = [stamp_of(command) for command in graph.commands[since:]]
    assert len(stamps) > 20 and stamps == sorted(set(stamps))
    gaps = [after - before for before, after in pairwise(stamps)]
    assert max(gaps) < 0.021
    assert not any(command.reason for command in graph.commands[since:])


def test_a_parameter_takes_effect_with_the_next_chunk_and_drops_no_command(graph: Graph) -> None:
    graph.rise()
    before, commands = len(graph.chunks), len(graph.commands)
    values = {"visual_tokens": 24, "language_layers": 8, "head_steps": 2}
    for name, value in values.items():
        assert set_parameter(graph.policy_node, name, value).successful
    graph.until("two more chunks", lambda: len(graph.chunks) >= before + 3)
    for chunk in graph.chunks[before + 1 :]:  # one may have been under way
        report = chunk.report
        assert (len(report.layers_run), report.visual_tokens_kept, report.head_steps) == (8, 24, 2)
    assert graph.policy_node._report.report.visual_tokens == (72, 24)
    graph.turn(25)
    commands_answer_states(graph, commands)
    assert set_parameter(graph.policy_node, "visual_tokens", 0).successful
    assert graph.policy.plan.budget == replace(Plan.default, language_layers=8, head_steps=2)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("visual_tokens", 73, "1 to 72"),
        ("language_layers", 13, "1 to 12"),
        ("head_cache_interval", 5, "1 to 4"),
        ("head_steps", 9, "1 to 4"),
        ("visual_tokens", -1, "0"),
        ("deadline_ms", -1.0, "0"),
    ],
)
def test_out_of_range_is_refused_with_the_range(graph: Graph, name, value, expected) -> None:
    answer = set_parameter(graph.policy_node, name, value)
    assert not answer.successful and expected in answer.reason
    assert graph.policy.plan.budget == Plan.default
    assert graph.policy_node.get_parameter(f"compute.{name}").value == 0


def test_the_deadline_lowers_the_budget_and_raises_it_again_never_above_the_ceiling(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "PATIENCE", 3)
    node, plan = graph.policy_node, graph.policy.plan
    graph.policy.takes = lambda budget: 0.5 * budget.visual_tokens  # 36 ms in full
    assert set_parameter(node, "language_layers", 10).successful
    assert set_parameter(node, "deadline_ms", 30.0).successful
    graph.rise()
    graph.until("a lower budget", lambda: plan.budget.visual_tokens == 54)
    assert plan.budget.language_layers == 10
    _, text, values = node.health()
    assert "compute.deadline_ms" in text and "54 tokens" in values["budget"]
    graph.policy.takes = lambda budget: 1.0
    graph.until("the ceiling", lambda: plan.budget == replace(Plan.default, language_layers=10))
    graph.turn(20)
    assert plan.budget == replace(Plan.default, language_layers=10)
    assert set_parameter(node, "deadline_ms", 0.0).successful
    graph.policy.takes = lambda budget: 1000.0
    graph.turn(30)
    assert plan.budget == replace(Plan.default, language_layers=10)


def test_the_guard_finds_what_saving_costs_and_falls_back_for_a_while(graph: Graph) -> None:
    node, policy = graph.policy_node, graph.policy
    policy.off = 0.03  # [m] beside, with less than 12 layers
    assert set_parameter(node, "guard_every", 2).successful
    assert set_parameter(node, "guard_hold", 5).successful
    assert set_parameter(node, "language_layers", 6).successful
    graph.rise()
    graph.until("a look", lambda: node._compute.disagreement is not None)
    found = node._compute.disagreement
    assert found.millimetres == pytest.approx(30.0, abs=0.1) and found.degrees < 0.1
    assert not node._compute.fallen_back  # within compute.guard_mm
    assert "30.0 mm" in node.health()[2]["disagreement with full compute"]
    # By the wall clock the 5 % are used up, and a slow machine has no time to spare.
    node._compute.guard._free_at = node._compute.guard._took = 0.0
    assert set_parameter(node, "guard_mm", 10.0).successful
    graph.until("full compute", lambda: policy.plan.budget == Plan.default)
    assert "the guard" in node.health()[1]
    graph.until("the saving again", lambda: policy.plan.budget.language_layers == 6)
    # Chunks arrive in order: when one that saves follows, all in full have arrived.
    graph.until("a chunk in full", lambda: 12 in layers_run(graph))
    graph.until("a chunk that saves", lambda: layers_run(graph)[-1] == 6)
    assert 4 <= layers_run(graph).count(12) <= 6  # one may have been under way at either end


def layers_run(graph: Graph) -> list[int]:
    """How many language layers ran for each chunk that was published."""
    return [len(chunk.report.layers_run) for chunk in graph.chunks]


def test_a_parameter_that_the_policy_cannot_follow_fails_configure(graph: Graph, capfd) -> None:
    values = {"policy": "python:scripted_policy.make", "compute.visual_tokens": 73}
    node = PolicyNode(context=graph.context, parameter_overrides=overrides(**values))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "1 to 72" in capfd.readouterr().err
    node.destroy_node()


def test_a_policy_that_is_not_adjustable_says_so(graph: Graph) -> None:
    graph.policy = ScriptedPolicy({"rise": rising()})
    node = PolicyNode(
        context=graph.context,
        parameter_overrides=overrides(policy="python:scripted_policy.make"),
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    answer = set_parameter(node, "language_layers", 3)
    assert not answer.successful and "not adjustable" in answer.reason
    node.leave()
    node.destroy_node()
