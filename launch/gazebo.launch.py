"""The arm in Gazebo Harmonic under ros2_control, with a policy: for ROS 2 Jazzy from apt.

Needs ros-jazzy-ros-gz, ros-jazzy-gz-ros2-control, ros-jazzy-ros2-controllers. Gazebo's processes
can be left out (`simulator:=false`) where something else speaks on the same topics.
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from vla_arm.joint_table import get_arm
from vla_arm.urdf import control_urdf
from vla_policy_node.bring_up import has, lifecycle_node, rviz, state_publisher, text

# Name, default, meaning, choices.
ARGUMENTS = [
    ("model", "X5", "model of the arm", ["X5", "L5"]),
    ("simulator", "true", "start Gazebo, bridge and controllers", ["true", "false"]),
    ("headless", "false", "run Gazebo without its window", ["true", "false"]),
    ("policy", "teacher", "checkpoint: a folder, or a name under the package's checkpoints", None),
    ("instruction", "", "followed from the start; empty waits for a goal or a topic", None),
    ("device", "cpu", "torch device of the policy, e.g. cpu or cuda:0", None),
    ("rviz", "false", "open RViz, where it is installed", ["true", "false"]),
    ("log_level", "info", "what the nodes log", ["debug", "info", "warn", "error"]),
]
CONTROLLERS = ("joint_state_broadcaster", "arm_controller")


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, default, text, choices in ARGUMENTS
    ]
    for name, file, meaning in (
        ("params_file", "sim.yaml", "YAML file of node parameters"),
        ("world", "gazebo/table.sdf", "SDF file of the world"),
        ("controllers_file", "gazebo/controllers.yaml", "YAML file of the controllers"),
        ("bridge_file", "gazebo/bridge.yaml", "YAML file of the topics that are bridged"),
        ("rviz_config", "rviz/arm.rviz", "configuration of RViz"),
    ):
        path = PathJoinSubstitution([FindPackageShare("lean_vla"), "config", file])
        arguments.append(DeclareLaunchArgument(name, default_value=path, description=meaning))
    arm = lifecycle_node(
        "arm_node",
        arm=text("model"),
        backend="joint_trajectory",
        hardware_mode="full",
        controller="arm_controller",
        use_sim_time=True,
        publish_tf=not has("robot_state_publisher"),
    )
    policy = lifecycle_node(
        "policy_node",
        policy=text("policy"),
        instruction=text("instruction"),
        device=text("device"),
        use_sim_time=True,
    )
    simulator = LaunchConfiguration("simulator")
    return LaunchDescription(
        [
            *arguments,
            SetLaunchConfiguration("namespace", ""),  # bridge and controllers have none
            OpaqueFunction(function=gazebo, condition=IfCondition(simulator)),
            LogInfo(
                msg="without Gazebo: its topics must come from elsewhere",
                condition=UnlessCondition(simulator),
            ),
            *arm,
            *policy,
            rviz(use_sim_time=True),
        ]
    )


def gazebo(context):
    """Gazebo, the arm in it, the bridge, and the controllers once the arm is there."""
    value = {
        name: LaunchConfiguration(name).perform(context)
        for name in ("model", "headless", "world", "controllers_file", "bridge_file")
    }
    document = control_urdf(
        get_arm(value["model"]), "gz_ros2_control/GazeboSimSystem", value["controllers_file"]
    )
    window = ["-s"] if value["headless"] == "true" else []
    return [
        ExecuteProcess(cmd=["gz", "sim", "-r", *window, value["world"]], output="both"),
        state_publisher(document, True),
        Node(
            package="ros_gz_sim",
            executable="create",
            arguments=["-topic", "robot_description", "-name", "arm"],
        ),
        Node(
            package="ros_gz_bridge",
            executable="parameter_bridge",
            parameters=[{"config_file": value["bridge_file"]}],
        ),
        *(
            Node(
                package="controller_manager",
                executable="spawner",
                arguments=[name, "--param-file", value["controllers_file"]],
            )
            for name in CONTROLLERS
        ),
    ]
