"""Launch files of the real arm and of Gazebo, and what they point to, without starting them."""

import importlib.util
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node

from vla_arm.joint_table import X5
from vla_policy_node.arm_limits import limits_of
from vla_policy_node.parameters import check
from vla_policy_node.settings import ArmSettings, PolicySettings

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "launch" / f"{name}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared(name):
    entities = load(name).generate_launch_description().entities
    return {e.name: e for e in entities if isinstance(e, DeclareLaunchArgument)}


def default(argument):
    return None if argument.default_value is None else argument.default_value[0].text


def context(**values):
    made = LaunchContext()
    made.launch_configurations.update(values)
    return made


def words(made, action):
    """What an action gives to its program, which need not be installed."""
    given = (normalize_to_list_of_substitutions(word) for word in action.cmd[1:])
    return [perform_substitutions(made, word) for word in given]


def test_the_real_arm_names_no_model_and_sends_nothing_by_default():
    arguments = declared("real")
    assert arguments["model"].default_value is None
    assert default(arguments["mode"]) == "dry_run"
    assert set(arguments["mode"].choices) == {"dry_run", "slow", "full", "teach"}


def parameters(entities, executable):
    """What launch gives to a node: its files, and what wins over them."""
    nodes = [entity for entity in entities if isinstance(entity, Node)]
    (node,) = [each for each in nodes if each.node_executable == executable]
    return node._Node__parameters


def test_the_simulators_launch_files_move_no_other_arm():
    recording = load("record")
    for entities in (
        load("sim").generate_launch_description().entities,
        recording.simulation("teleop"),
        recording.simulation("expert"),
    ):
        given = {
            perform_substitutions(context(), name): yaml.safe_load(
                perform_substitutions(context(), value)
            )
            for name, value in parameters(entities, "arm_node")[-1].items()
            if isinstance(value, tuple)
        }
        assert (given["backend"], given["hardware_mode"]) == ("joint_topics", "full")


def test_what_a_users_file_leaves_out_is_the_real_arms():
    entities = load("real").generate_launch_description().entities
    for executable in ("arm_node", "policy_node"):
        first, second, _ = parameters(entities, executable)
        assert "real.yaml" in str(first.param_file)
        (theirs,) = second.param_file
        assert theirs.variable_name[0].text == "params_file"


@pytest.mark.parametrize("name", ["real", "gazebo", "sim"])
def test_every_argument_says_what_it_is_for(name):
    assert all(len(argument.description) > 5 for argument in declared(name).values())


def test_real_yaml_holds_settings_and_limits_tighter_than_the_table():
    nodes = yaml.safe_load((CONFIG / "real.yaml").read_text())
    arm = nodes["/**/arm_node"]["ros__parameters"]
    check(ArmSettings, arm)
    check(PolicySettings, nodes["/**/policy_node"]["ros__parameters"])
    full = limits_of(ArmSettings(**arm, hardware_mode="full"))
    slow = limits_of(ArmSettings(**arm, hardware_mode="slow"))
    assert slow.linear_speed == pytest.approx(full.linear_speed * arm["slow_scale"])
    assert full.joint_speed_scale <= 0.5 and arm["torque_scale"] < 1.0


def test_the_world_holds_a_table_at_the_arms_base_and_the_front_camera():
    world = ElementTree.parse(CONFIG / "gazebo" / "table.sdf").getroot().find("world")
    assert {model.get("name") for model in world.findall("model")} >= {"table", "front_camera"}
    table = world.find("model[@name='table']")
    z = float(table.findtext("pose").split()[2])
    height = float(table.findtext("link/collision/geometry/box/size").split()[2])
    assert z + height / 2 == pytest.approx(0.0)
    systems = {plugin.get("filename") for plugin in world.findall("plugin")}
    assert {"gz-sim-physics-system", "gz-sim-sensors-system"} <= systems


def test_controllers_and_bridge_speak_on_the_nodes_topics():
    controllers = yaml.safe_load((CONFIG / "gazebo" / "controllers.yaml").read_text())
    joints = controllers["arm_controller"]["ros__parameters"]["joints"]
    assert joints == [*X5.joint_names, "finger_left"]
    assert controllers["joint_state_broadcaster"]["ros__parameters"]["update_rate"] == 50
    bridge = yaml.safe_load((CONFIG / "gazebo" / "bridge.yaml").read_text())
    topics = {entry["ros_topic_name"] for entry in bridge}
    assert topics == {"clock", "camera/front/image_raw", "camera/wrist/image_raw"}


def test_views_parse_and_show_the_arm():
    rviz = yaml.safe_load((CONFIG / "rviz" / "arm.rviz").read_text())
    displays = rviz["Visualization Manager"]["Displays"]
    assert "rviz_default_plugins/RobotModel" in {display["Class"] for display in displays}
    layout = json.loads((CONFIG / "foxglove" / "arm.json").read_text())
    services = {c.get("serviceName") for c in layout["configById"].values()}
    assert {"/estop", "/reset_estop"} <= services
    for name in ("front", "wrist"):
        assert (
            yaml.safe_load((CONFIG / "cameras" / f"{name}.yaml").read_text())["camera_name"] == name
        )


def test_gazebo_starts_the_world_the_arm_the_bridge_and_the_controllers():
    made = context(
        model="X5",
        headless="true",
        namespace="",
        world="table.sdf",
        controllers_file="controllers.yaml",
        bridge_file="bridge.yaml",
    )
    actions = load("gazebo").gazebo(made)
    (server,) = (a for a in actions if not isinstance(a, Node))
    assert words(made, server) == ["sim", "-r", "-s", "table.sdf"]
    nodes = [action for action in actions if isinstance(action, Node)]
    assert [node.node_executable for node in nodes] == [
        "robot_state_publisher",
        "create",
        "parameter_bridge",
        "spawner",
        "spawner",
    ]
    assert [words(made, n)[0] for n in nodes[3:]] == ["joint_state_broadcaster", "arm_controller"]


def test_the_cameras_places_are_published_as_the_file_says():
    file = CONFIG / "cameras" / "extrinsics.yaml"
    made = context(extrinsics_file=str(file), namespace="")
    publishers = load("real").camera_transforms(made)
    places = yaml.safe_load(file.read_text())
    for (frame, place), node in zip(places.items(), publishers, strict=True):
        said = words(made, node)
        given = dict(zip(said[::2], said[1::2]))
        assert (given["--frame-id"], given["--child-frame-id"]) == (place["parent"], frame)
        axes = ("x", "y", "z", "yaw", "pitch", "roll")
        assert [float(given[f"--{axis}"]) for axis in axes] == place["pose"]


def test_rviz_shows_the_users_cameras():
    (view,) = (
        entity
        for entity in load("real").generate_launch_description().entities
        if isinstance(entity, Node) and entity.node_executable == "rviz2"
    )
    made = context(front_image="/usb_cam/image_raw", wrist_image="wrist", rviz="false")
    assert not view.condition.evaluate(made)
    pairs = view._Node__remappings
    topics = {
        perform_substitutions(made, old): perform_substitutions(made, new) for old, new in pairs
    }
    assert topics["/camera/front/image_raw"] == "/usb_cam/image_raw"
    assert topics["/camera/wrist/image_raw"] == "wrist"
    shown = (CONFIG / "rviz" / "arm.rviz").read_text()
    assert all(name in shown for name in ("/camera/front/image_raw", "/robot_description"))


def test_the_cameras_have_a_place_in_the_arms_frames():
    places = yaml.safe_load((CONFIG / "cameras" / "extrinsics.yaml").read_text())
    links = {"base_link", *(f"link{i}" for i in range(1, 7)), "eef_link"}
    assert set(places) == {"front_camera_optical_frame", "wrist_camera_optical_frame"}
    for place in places.values():
        assert place["parent"] in links and len(place["pose"]) == 6


def test_images_come_on_topics_that_the_user_names():
    arguments = declared("real")
    assert default(arguments["front_image"]) == "camera/front/image_raw"
    assert default(arguments["wrist_image"]) == "camera/wrist/image_raw"
