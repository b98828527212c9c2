"""The simulated arm with a policy that follows instructions: sim_node, arm_node, policy_node."""

from ament_index_python.packages import get_packages_with_prefixes
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.substitutions import (
    AndSubstitution,
    EnvironmentVariable,
    EqualsSubstitution,
    IfElseSubstitution,
    LaunchConfiguration,
    NotSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

TASKS = [
    "reach",
    "pick",
    "place",
    "push",
    "stack",
    "open",
    "press",
    "catch",
    "insert",
    "press_then_pick",
]

# Name, default, meaning, choices.
ARGUMENTS = [
    ("policy", "teacher", "checkpoint: a folder, or a name under the package's checkpoints", None),
    ("instruction", "", "followed from the start; empty waits for a goal or a topic", None),
    ("task", "pick", "task of the first scene", TASKS),
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
        "how a new chunk takes over: switch, ensemble (mean), rtc (real-time chunking)",
        ["switch", "ensemble", "rtc"],
    ),
    ("namespace", "", "namespace of all nodes and topics, /clock and /tf included", None),
    ("use_sim_time", "true", "stamps are simulated time, from /clock", ["true", "false"]),
    ("viewer", "false", "open MuJoCo's viewer, where there is a screen", ["true", "false"]),
    ("log_level", "info", "what the nodes log", ["debug", "info", "warn", "error"]),
]
# With a namespace, each robot has a clock and transforms of its own.
REMAPPINGS = [("/clock", "clock"), ("/tf", "tf"), ("/tf_static", "tf_static")]


def generate_launch_description():
    mode = LaunchConfiguration("mode")
    lockstep = EqualsSubstitution(mode, "lockstep")
    synchronous = LaunchConfiguration("synchronous")
    automatic = EqualsSubstitution(synchronous, "auto")
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, default, text, choices in ARGUMENTS
    ]
    arguments.append(
        DeclareLaunchArgument(
            "params_file",
            default_value=PathJoinSubstitution(
                [FindPackageShare("lean_vla"), "config", "sim.yaml"]
            ),
            description="YAML file of node parameters; the arguments above win over it",
        )
    )
    published = "robot_state_publisher" in get_packages_with_prefixes()

    def node(executable, **parameters):
        return LifecycleNode(
            package="lean_vla",
            executable=executable,
            name=executable,
            namespace=LaunchConfiguration("namespace"),
            output="both",
            emulate_tty=True,
            sigkill_timeout="20",  # a busy machine takes its time to let go of MuJoCo and torch
            parameters=[LaunchConfiguration("params_file"), parameters],
            remappings=REMAPPINGS,
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        )

    sim = node(
        "sim_node",
        task=text("task"),
        seed=ParameterValue(LaunchConfiguration("seed"), value_type=int),
        instructions=text("instructions"),
        mode=text("mode"),
        publish_clock=boolean("use_sim_time"),
        viewer=boolean("viewer"),
    )
    arm = node(
        "arm_node",
        lockstep=ParameterValue(lockstep, value_type=bool),
        use_sim_time=boolean("use_sim_time"),
        publish_tf=not published,
    )
    policy = node(
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
            *bring_up(sim),
            *bring_up(arm),
            *bring_up(policy),
            *([state_publisher()] if published else []),
        ]
    )


def state_publisher():
    """All links on /tf, where robot_state_publisher is installed."""
    from vla_arm.joint_table import get_arm
    from vla_arm.urdf import urdf

    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {"robot_description": urdf(get_arm("X5")), "use_sim_time": boolean("use_sim_time")}
        ],
        remappings=REMAPPINGS,
    )


def text(name):
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def boolean(name):
    return ParameterValue(LaunchConfiguration(name), value_type=bool)


def change(node, transition):
    return EmitEvent(
        event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    )


def bring_up(node):
    """Configure all at once, since loading the policy takes longest; activate as they are ready.

    Any order is safe: the arm moves only when states, images and an instruction have come.
    """
    activate = change(node, Transition.TRANSITION_ACTIVATE)
    name = node.node_executable
    ended = Shutdown(reason=f"{name} has ended")
    return [
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node,
                start_state="configuring",
                goal_state="inactive",
                entities=[activate],
            )
        ),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node,
                goal_state="active",
                entities=[LogInfo(msg=f"{name} is active")],
            )
        ),
        RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node,
                start_state="configuring",
                goal_state="unconfigured",
                entities=[EmitEvent(event=Shutdown(reason=f"{name} could not be configured"))],
            )
        ),
        RegisterEventHandler(
            OnProcessExit(
                target_action=node,
                # One shutdown is enough: launch fails on a second.
                on_exit=lambda event, context: (
                    [] if context.is_shutdown else [EmitEvent(event=ended)]
                ),
            )
        ),
        node,
        change(node, Transition.TRANSITION_CONFIGURE),
    ]
