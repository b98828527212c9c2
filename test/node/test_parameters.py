"""Parameters come from the dataclasses, are checked when set, and unknown ones are errors."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from graph import Graph, overrides
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from vla_policy_node.arm_node import ArmNode
from vla_policy_node.parameters import check, descriptor, name_of
from vla_policy_node.policy_node import PolicyNode
from vla_policy_node.settings import ArmSettings, PolicySettings, SimSettings
from vla_policy_node.sim_node import SimNode

ROOT = Path(__file__).parents[2]
NODES = {"policy_node": (PolicyNode, PolicySettings), "arm_node": (ArmNode, ArmSettings)}
NODES["sim_node"] = (SimNode, SimSettings)


@pytest.fixture
def context():
    context = Context()
    context.init()
    yield context
    context.try_shutdown()


@pytest.mark.parametrize("name", NODES)
def test_every_setting_is_a_described_parameter_within_its_range(context, name):
    kind, settings = NODES[name]
    node = kind(context=context)
    for field in dataclasses.fields(settings):
        name = name_of(field)
        assert node.get_parameter(name).value == field.default
        assert len(node.describe_parameter(name).description) > 10
        check(settings, {name: field.default})
        assert descriptor(field).description.startswith(field.metadata["doc"])
    node.destroy_node()


@pytest.mark.parametrize("name", NODES)
def test_an_unknown_parameter_fails_configure(context, name):
    kind, _ = NODES[name]
    node = kind(context=context, parameter_overrides=overrides(replan_stepz=3))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.destroy_node()


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("replan_steps", 0),
        ("replan_steps", 1.5),
        ("image_timeout", float("nan")),
        ("image_timeout", -1.0),
        ("image_transport", "smoke signals"),
        ("instruction", 3),
    ],
)
def test_a_bad_value_is_refused_when_set(context, parameter, value):
    node = PolicyNode(context=context)
    answer = node.set_parameters([Parameter(parameter, value=value)])[0]
    assert not answer.successful and answer.reason
    node.destroy_node()


def test_what_configure_reads_cannot_change_afterwards(graph):
    node = graph.policy_node
    assert not node.set_parameters([Parameter("synchronous", value=True)])[0].successful
    assert node.set_parameters([Parameter("replan_steps", value=4)])[0].successful
    assert node.settings.replan_steps == 4


def test_a_changed_image_timeout_holds_the_arm_that_moves(graph):
    graph.rise()
    node = graph.policy_node
    assert node.set_parameters([Parameter("image_timeout", value=0.02)])[0].successful
    graph.until("a hold", graph.holding)
    assert "limit 0.02 s" in graph.commands[-1].reason
    assert not node.set_parameters([Parameter("instruction", value="rise")])[0].successful


def test_a_policy_that_is_not_there_fails_configure_with_its_name(context, capfd):
    node = PolicyNode(context=context, parameter_overrides=overrides(policy="no_such_policy"))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "no_such_policy" in capfd.readouterr().err
    node.destroy_node()


def test_configure_and_clean_up_may_be_repeated(graph):
    node = graph.policy_node
    for _ in range(2):
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    graph.rise()


def test_the_yaml_files_name_only_what_exists_with_its_default():
    content = yaml.safe_load((ROOT / "config" / "sim.yaml").read_text())
    for key, value in content.items():
        _, settings = NODES[key.removeprefix("/**/")]
        defaults = {field.name: field.default for field in dataclasses.fields(settings)}
        for name, given in value["ros__parameters"].items():
            assert defaults[name] == given, f"{key} {name}"


def test_the_robot_may_call_its_base_by_another_name(monkeypatch):
    graph = Graph(monkeypatch)
    try:
        graph.arm_node.set_parameters(overrides(base_frame="left_base_link"))
        graph.start()
        graph.rise()
        frames = {
            message.header.frame_id for message in (*graph.states, *graph.commands, *graph.chunks)
        }
        assert frames == {"left_base_link"}
    finally:
        graph.close()
