"""A real ARX5 with a policy that follows instructions: arm_node, policy_node (docs/real_arm.md)."""

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from vla_policy_node.bring_up import description, has, lifecycle_node, rviz, text

# Name, default (None: must be given), meaning, choices.
ARGUMENTS = [
    ("model", None, "the arm's model, as its label says; the wrong one is dangerous", ["X5", "L5"]),
    ("can_interface", "can0", "CAN interface of the arm", None),
    (
        "mode",
        "dry_run",
        "dry_run: nothing is sent; slow; full; teach: guided by hand",
        ["dry_run", "slow", "full", "teach"],
    ),
    ("policy", "teacher", "checkpoint: a folder, or a name under the package's checkpoints", None),
    ("instruction", "", "followed from the start; empty waits for a goal or a topic", None),
    ("device", "cpu", "torch device of the policy, e.g. cpu or cuda:0", None),
    ("policy_host", "", "machine on which `vla serve` runs the policy; empty: here", None),
    (
        "chunking",
        "switch",
        "how a new chunk takes over: switch, fade (in 0.2 s), ensemble (mean), rtc (real-time)",
        ["switch", "fade", "ensemble", "rtc"],
    ),
    ("front_image", "camera/front/image_raw", "topic of the front camera's images", None),
    ("wrist_image", "camera/wrist/image_raw", "topic of the wrist camera's images", None),
    ("namespace", "", "namespace of all nodes and topics, /tf included", None),
    ("rviz", "false", "open RViz, where it is installed", ["true", "false"]),
    ("log_level", "info", "what the nodes log", ["debug", "info", "warn", "error"]),
]

PLACE = ("--x", "--y", "--z", "--yaw", "--pitch", "--roll")


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, default, text, choices in ARGUMENTS
    ]
    for name, file, meaning in (
        (
            "params_file",
            "real.yaml",
            "YAML file of node parameters; what it leaves out is as in real.yaml",
        ),
        ("extrinsics_file", "cameras/extrinsics.yaml", "YAML file of where the cameras are"),
        ("rviz_config", "rviz/arm.rviz", "configuration of RViz"),
    ):
        path = PathJoinSubstitution([FindPackageShare("lean_vla"), "config", file])
        arguments.append(DeclareLaunchArgument(name, default_value=path, description=meaning))
    arm = lifecycle_node(
        "arm_node",
        base="real.yaml",
        arm=text("model"),
        can_interface=text("can_interface"),
        hardware_mode=text("mode"),
        publish_tf=not has("robot_state_publisher"),
    )
    cameras = [
        (f"camera/{name}/image_raw{suffix}", [LaunchConfiguration(f"{name}_image"), suffix])
        for name in ("front", "wrist")
        for suffix in ("", "/compressed")
    ]
    policy = lifecycle_node(
        "policy_node",
        base="real.yaml",
        remappings=cameras,
        policy=text("policy"),
        instruction=text("instruction"),
        device=text("device"),
        policy_host=text("policy_host"),
        chunking=text("chunking"),
    )
    transforms = [LogInfo(msg="no tf2_ros here: the cameras' places are not on /tf_static")]
    if has("tf2_ros"):
        transforms = [OpaqueFunction(function=camera_transforms)]
    view = rviz(images=cameras)
    return LaunchDescription([*arguments, *arm, *policy, *description("model"), *transforms, view])


def camera_transforms(context):
    """The cameras' places as static transforms."""
    with open(LaunchConfiguration("extrinsics_file").perform(context)) as file:
        cameras = yaml.safe_load(file)
    return [
        Node(
            package="tf2_ros",
            executable="static_transform_publisher",
            namespace=LaunchConfiguration("namespace"),
            arguments=[
                *("--frame-id", camera["parent"], "--child-frame-id", frame),
                *(w for word in zip(PLACE, camera["pose"], strict=True) for w in map(str, word)),
            ],
            remappings=[("/tf_static", "tf_static")],
        )
        for frame, camera in cameras.items()
    ]
