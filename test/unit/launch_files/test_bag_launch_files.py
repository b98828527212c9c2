"""Launch files that record and judge: what they start for which arguments, without starting it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch_ros.actions import LifecycleNode

from vla_policy_node.errors import NodeError

ROOT = Path(__file__).resolve().parents[3]


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "launch" / f"{name}.launch.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def context(module: Any, **values: str) -> LaunchContext:
    """With the defaults, and these values."""
    made = LaunchContext()
    for name, default, _, _ in module.ARGUMENTS:
        made.launch_configurations[name] = default or ""
    made.launch_configurations["params_file"] = ""
    made.launch_configurations.update(values)
    return made


def nodes(actions: list[Any]) -> set[str]:
    return {a.node_executable for a in actions if isinstance(a, LifecycleNode)}


@pytest.mark.parametrize("name", ["record", "bag_eval"])
def test_every_argument_says_what_it_is_for(name):
    entities = load(name).generate_launch_description().entities
    declared = [e for e in entities if isinstance(e, DeclareLaunchArgument)]
    assert all(len(argument.description) > 5 for argument in declared)
    required = [argument.name for argument in declared if argument.default_value is None]
    assert required == {"record": ["task"], "bag_eval": ["bag"]}[name]


@pytest.mark.parametrize(
    ("mover", "task", "wanted"),
    [
        ("expert", "pick", {"sim_node", "arm_node", "recorder_node"}),
        ("policy", "pick", {"sim_node", "arm_node", "policy_node", "recorder_node"}),
        ("hand", "fold it", {"arm_node", "recorder_node"}),
        ("none", "fold it", {"recorder_node"}),
    ],
)
def test_a_recording_starts_what_its_mover_needs(mover, task, wanted):
    record = load("record")
    actions = record.nodes(context(record, task=task, mover=mover, model="X5"))
    assert nodes(actions) == wanted
    session = any(type(a) is ExecuteProcess for a in actions)
    assert session is (mover in ("expert", "policy"))


def test_a_task_that_the_suite_does_not_have_is_refused_at_once():
    record = load("record")
    with pytest.raises(RuntimeError, match=r"fold the cloth.*expected one of.*pick"):
        record.nodes(context(record, task="fold the cloth"))


def test_an_arm_guided_by_hand_must_be_named():
    record = load("record")
    with pytest.raises(RuntimeError, match=r"model: .*expected X5 or L5"):
        record.nodes(context(record, task="fold it", mover="hand"))


def test_an_evaluation_names_a_policy_that_is_not_there(tmp_path):
    module = load("bag_eval")
    values = context(module, bag="x.mcap", out=str(tmp_path), policy="nobody")
    with pytest.raises(NodeError, match="nobody"):
        module.steps(values)


def test_an_evaluation_stays_away_from_every_arm_and_clears_old_answers(tmp_path):
    module = load("bag_eval")
    (tmp_path / "answers.mcap").write_text("old")
    module.steps(
        context(module, bag="x.mcap", out=str(tmp_path), policy="python:a.b", replan_steps="2")
    )
    assert not (tmp_path / "answers.mcap").exists()
    names = {name: default for name, default, _, _ in module.ARGUMENTS}
    assert names["namespace"] == "bag_eval"
