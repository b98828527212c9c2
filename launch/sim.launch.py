"""The simulated arm with a policy that follows instructions: sim_node, arm_node, policy_node."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.events import Shutdown
from launch.substitutions import (
    AndSubstitution,
    EnvironmentVariable,
    EqualsSubstitution,
    IfElseSubstitution,
    LaunchConfiguration,
    NotSubstitution,
    PathJoinSubstitution,
)
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from vla_arm.joint_table import X5
from vla_arm.urdf import urdf
from vla_policy_node.bring_up import boolean, has, lifecycle_node, rviz, state_publisher, text
from vla_sim.tasks import TASKS

# Name, default, meaning, choices.
ARGUMENTS = [
    ("policy", "teacher", "checkpoint: a folder, or a name under the package's checkpoints", None),
    ("instruction", "", "followed from the start; empty waits for a goal or a topic", None),
    ("task", "pick", "task of the first scene", list(TASKS)),
    ("seed", "0", "seed of the first scene", None),
    (
        "instructions",
        "train",
        "phrasing of the scene's instruction",
        ["train", "new_sentences", "new_words"],
    ),
    (
        "mode",
        "paced",
        "paced: by the wall clock; lockstep: time waits for every command",
        ["paced", "lockstep"],
    ),
    (
        "synchronous",
        "auto",
        "the policy waits for the chunk that is due; auto: in lockstep",
        ["auto", "true", "false"],
    ),
    ("device", "cpu", "torch device of the policy, e.g. cpu or cuda:0", None),
    ("policy_host", "", "machine on which `vla serve` runs the policy; empty: here", None),
    (
        "chunking",
        "switch",
        "how a new chunk takes over: switch, fade (in 0.2 s), ensemble (mean), rtc (real-time)",
        ["switch", "fade", "ensemble", "rtc"],
    ),
    ("namespace", "", "namespace of all nodes and topics, /clock and /tf included", None),
    ("use_sim_time", "true", "stamps are simulated time, from /clock", ["true", "false"]),
    ("viewer", "false", "open MuJoCo's viewer, where there is a screen", ["true", "false"]),
    ("rviz", "false", "open RViz, where it is installed", ["true", "false"]),
    ("log_level", "info", "what the nodes log", ["debug", "info", "warn", "error"]),
]


def generate_launch_description():
    mode = LaunchConfiguration("mode")
    lockstep = EqualsSubstitution(mode, "lockstep")
    synchronous = LaunchConfiguration("synchronous")
    automatic = EqualsSubstitution(synchronous, "auto")
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, default, text, choices in ARGUMENTS
    ]
    for name, file, meaning in (
        (
            "params_file",
            "sim.yaml",
            "YAML file of node parameters; arguments win over it",
        ),
        ("rviz_config", "rviz/arm.rviz", "configuration of RViz"),
    ):
        path = PathJoinSubstitution([FindPackageShare("lean_vla"), "config", file])
        arguments.append(DeclareLaunchArgument(name, default_value=path, description=meaning))
    published = has("robot_state_publisher")
    sim = lifecycle_node(
        "sim_node",
        task=text("task"),
        seed=ParameterValue(LaunchConfiguration("seed"), value_type=int),
        instructions=text("instructions"),
        mode=text("mode"),
        publish_clock=boolean("use_sim_time"),
        viewer=boolean("viewer"),
    )
    arm = lifecycle_node(
        "arm_node",
        backend="joint_topics",  # whatever arm the file is of
        hardware_mode="full",
        lockstep=ParameterValue(lockstep, value_type=bool),
        use_sim_time=boolean("use_sim_time"),
        publish_tf=not published,
    )
    policy = lifecycle_node(
        "policy_node",
        policy=text("policy"),
        instruction=text("instruction"),
        device=text("device"),
        policy_host=text("policy_host"),
        chunking=text("chunking"),
        synchronous=ParameterValue(
            IfElseSubstitution(automatic, if_value=lockstep, else_value=synchronous),
            value_type=bool,
        ),
        use_sim_time=boolean("use_sim_time"),
    )
    timeless = AndSubstitution(lockstep, NotSubstitution(LaunchConfiguration("use_sim_time")))
    return LaunchDescription(
        [
            *arguments,
            SetEnvironmentVariable(
                "MUJOCO_GL", EnvironmentVariable("MUJOCO_GL", default_value="egl")
            ),
            EmitEvent(
                event=Shutdown(reason="mode lockstep needs use_sim_time"),
                condition=IfCondition(timeless),
            ),
            *sim,
            *arm,
            *policy,
            *([state_publisher(urdf(X5), boolean("use_sim_time"))] if published else []),
            rviz(use_sim_time=boolean("use_sim_time")),
        ]
    )
