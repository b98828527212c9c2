"""Record episodes: of the simulation, of the arm guided by hand, or of what runs already."""

import sys

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from vla_policy_node.bring_up import description, has, lifecycle_node, text
from vla_policy_node.recording import MOVERS
from vla_sim.experts.expert import PLANS

# Name, default (None: must be given), meaning, choices.
ARGUMENTS = [
    (
        "task",
        None,
        "with expert, policy or teleop a task of the suite, e.g. pick; with hand or none what the "
        "arm is told, e.g. 'pick up the red cube'",
        None,
    ),
    (
        "mover",
        "expert",
        "who moves the arm. expert, policy: in simulation; teleop: the same, you, with `ros2 run "
        "lean_vla teleop` in another terminal; hand: a real arm, guided by hand; none: only "
        "record, whatever moves a robot that runs already",
        ["expert", "policy", "teleop", "hand", "none"],
    ),
    ("bag", "", "the bag, a new .mcap file; empty: recordings/DATE_TIME.mcap here", None),
    ("episodes", "5", "episodes to record (expert, policy, teleop)", None),
    ("seed", "0", "seed of the first scene; the next ones count on (expert, policy, teleop)", None),
    (
        "instructions",
        "train",
        "phrasing of the scenes' instructions (expert, policy, teleop)",
        ["train", "new_sentences", "new_words"],
    ),
    ("policy", "teacher", "checkpoint: a folder, or a name under the package's checkpoints", None),
    ("device", "cpu", "torch device of the policy, e.g. cpu or cuda:0", None),
    (
        "model",
        "",
        "model of the real arm, as its label says; the wrong one is dangerous (hand)",
        ["", "X5", "L5"],
    ),
    ("can_interface", "can0", "CAN interface of the real arm (hand)", None),
    ("front_image", "camera/front/image_raw", "topic of the front camera's images", None),
    ("wrist_image", "camera/wrist/image_raw", "topic of the wrist camera's images", None),
    ("image_transport", "raw", "how images are sent", ["raw", "compressed"]),
    ("compress", "true", "pack the bag with zstd", ["true", "false"]),
    ("namespace", "", "namespace of all nodes and topics, /clock included", None),
    ("log_level", "info", "what the nodes log", ["debug", "info", "warn", "error"]),
]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, default, text, choices in ARGUMENTS
    ]
    arguments.append(
        DeclareLaunchArgument(
            "params_file",
            default_value="",
            description="YAML file of node parameters; empty: config/sim.yaml, for a real arm "
            "config/real.yaml",
        )
    )
    return LaunchDescription(
        [
            *arguments,
            SetEnvironmentVariable(
                "MUJOCO_GL", EnvironmentVariable("MUJOCO_GL", default_value="egl")
            ),
            OpaqueFunction(function=nodes),
        ]
    )


def nodes(context):
    """The nodes that this mover needs, the recorder, and who runs the episodes."""
    values = context.launch_configurations
    mover, simulated = values["mover"], values["mover"] in MOVERS
    if simulated and values["task"] not in PLANS:
        raise RuntimeError(
            f"task {values['task']!r}: with mover:={mover} expected one of {', '.join(PLANS)}"
        )
    if mover == "hand" and not values["model"]:
        raise RuntimeError("model: with mover:=hand expected X5 or L5, as the arm's label says")
    actions = []
    if not values["params_file"]:
        file = "sim.yaml" if simulated else "real.yaml"
        path = PathJoinSubstitution([FindPackageShare("lean_vla"), "config", file])
        actions.append(SetLaunchConfiguration("params_file", path))
    if simulated:
        actions += simulation(mover)
    elif mover == "hand":
        actions += lifecycle_node(
            "arm_node",
            base="real.yaml",
            arm=text("model"),
            can_interface=text("can_interface"),
            hardware_mode="teach",
            publish_tf=not has("robot_state_publisher"),
        )
        actions += description("model")
    actions += lifecycle_node(
        "recorder_node",
        remappings=[
            (f"camera/{name}/image_raw{suffix}", [LaunchConfiguration(f"{name}_image"), suffix])
            for name in ("front", "wrist")
            for suffix in ("", "/compressed")
        ],
        bag=text("bag"),
        image_transport=text("image_transport"),
        compress=ParameterValue(LaunchConfiguration("compress"), value_type=bool),
        instruction="" if simulated else text("task"),
        use_sim_time=simulated,
    )
    return [*actions, *(run_episodes() if simulated else [])]


def simulation(mover):
    """The simulator, which stands still until the episodes are run, the arm, and the mover.

    In lockstep no picture is lost, however slow the machine; only an operator needs the wall clock,
    and time that runs on until he comes: the arm holds, not ready, where its clock stands still.
    """
    lockstep = mover != "teleop"
    mode = "lockstep" if lockstep else "paced"
    sim = lifecycle_node(
        "sim_node", task=text("task"), mode=mode, paused=lockstep, expert=mover == "expert"
    )
    # Whatever arm the file is of: it is the simulator's that moves.
    arm = lifecycle_node(
        "arm_node",
        backend="joint_topics",
        hardware_mode="full",
        lockstep=lockstep,
        use_sim_time=True,
    )
    if mover != "policy":
        return [*sim, *arm]
    policy = lifecycle_node(
        "policy_node",
        policy=text("policy"),
        device=text("device"),
        synchronous=True,
        use_sim_time=True,
    )
    return [*sim, *arm, *policy]


def run_episodes():
    """Run the episodes, then end."""
    names = ("task", "episodes", "seed", "instructions", "mover", "namespace")
    words = [[f"--{name}=", LaunchConfiguration(name)] for name in names]
    process = ExecuteProcess(
        cmd=[sys.executable, "-m", "vla_policy_node.recording", *words],
        name="recording",
        output="both",
    )

    def end(event, context):
        if context.is_shutdown:
            return []
        if event.returncode != 0:
            raise RuntimeError("the episodes could not all be recorded")
        return [EmitEvent(event=Shutdown(reason="the episodes are recorded"))]

    return [process, RegisterEventHandler(OnProcessExit(target_action=process, on_exit=end))]
