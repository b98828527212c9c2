"""Policies that the node can run: ``torch_compile`` compiles one, or says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vla_policy.checkpoint import save_policy
from vla_policy.errors import PolicyError
from vla_policy.model.policy import VlaPolicy
from vla_policy_node.policy_source import compile_policy, make_policy, warm_up


def test_a_policy_of_another_robot_is_not_run(tmp_path: Path) -> None:
    policy = VlaPolicy.random()
    policy.statistics = replace(policy.statistics, robot="gymnasium/metaworld")
    with pytest.raises(PolicyError, match="robot of the policy: got gymnasium/metaworld"):
        make_policy(str(save_policy(policy, tmp_path / "other")), "cpu")


def test_what_cannot_be_compiled_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = VlaPolicy.random()

    def compiler(piece: Any, **options: Any) -> Any:
        def broken(*inputs: Any, **named: Any) -> Any:
            raise RuntimeError("no C++ compiler found\nand a long story")

        return broken

    monkeypatch.setattr(torch, "compile", compiler)
    why = compile_policy(policy, lambda: warm_up(policy, 1))
    assert why == "RuntimeError: no C++ compiler found"
    warm_up(policy, 1)


def test_what_can_be_compiled_is(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, calls = VlaPolicy.random(), []

    def compiler(piece: Any, **options: Any) -> Any:
        def counting(*inputs: Any, **named: Any) -> Any:
            calls.append(piece.__name__)
            return piece(*inputs, **named)

        return counting

    monkeypatch.setattr(torch, "compile", compiler)
    assert compile_policy(policy, lambda: warm_up(policy, 1)) == ""
    layers, steps = policy.config.language.layers, policy.config.head.steps
    assert calls == ["see"] + ["_infer"] * layers + ["forward"] * steps


def test_another_kind_of_policy_is_left_alone() -> None:
    assert compile_policy(object(), lambda: None) == "object has no network of ours"  # type: ignore[arg-type]
