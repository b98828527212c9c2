"""Play a bag into the policy_node that runs on the robot, and score what it would have done."""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from vla_policy_node.bring_up import lifecycle_node, text
from vla_policy_node.policy_source import find_checkpoint

# Name, default (None: must be given), meaning, choices.
ARGUMENTS = [
    ("bag", None, "the bag: a rosbag2 folder, a .mcap or a .db3 file", None),
    ("policy", "teacher", "checkpoint: a folder, or a name under the package's checkpoints", None),
    ("out", "runs/bag_eval", "folder for scores.json, report.html and the node's answers", None),
    (
        "mode",
        "step",
        "step: nothing goes on before the node has answered, and runs repeat to the byte; "
        "real_time: by the wall clock, late is late",
        ["step", "real_time"],
    ),
    ("rate", "1.0", "seconds of the bag in a second (real_time)", None),
    ("mapping", "", "YAML file that says which topic plays which part", None),
    ("instruction", "", "what the arm was told, where the bag does not say", None),
    ("source", "auto", "compared with", ["auto", "command", "commanded", "measured"]),
    ("cameras", "", "folder of calibrations as config/cameras, to draw into pictures", None),
    ("replan_steps", "2", "chunk steps after which a new chunk is asked for", None),
    ("image_period", "0.1", "time between images [s]", None),
    ("seed", "0", "seed of the noise", None),
    ("device", "cpu", "torch device of the policy, e.g. cpu or cuda:0", None),
    ("namespace", "bag_eval", "keeps the node's commands away from every arm", None),
    ("log_level", "info", "what the node logs", ["debug", "info", "warn", "error"]),
]
VLA = [sys.executable, "-m", "vla_distill.cli.main"]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)
        for name, default, text, choices in ARGUMENTS
    ]
    path = PathJoinSubstitution([FindPackageShare("lean_vla"), "config", "sim.yaml"])
    arguments.append(
        DeclareLaunchArgument(
            "params_file", default_value=path, description="YAML file of node parameters"
        )
    )
    return LaunchDescription([*arguments, OpaqueFunction(function=steps)])


def steps(context):
    """Make the bag ready; play it to the node; score what came back."""
    value = context.launch_configurations
    out = Path(value["out"])
    playable, answers = out / "playable.mcap", out / "answers.mcap"
    for old in (playable, answers, playable.with_suffix(".part.mcap")):
        old.unlink(missing_ok=True)
    common = option("mapping", value) + option("instruction", value)
    prepare = process("prepare", [*VLA, "bag", "playable", value["bag"], "--out", playable], common)
    play = process(
        "play",
        [sys.executable, "-m", "vla_policy_node.bag_player", "--bag", playable],
        [
            "--answers", answers, "--mode", value["mode"], "--rate", value["rate"],
            "--namespace", value["namespace"],
        ],
    )  # fmt: skip
    plugin = value["policy"].startswith("python:")
    folder = value["policy"] if plugin else find_checkpoint(value["policy"])
    score = process(
        "score",
        [*VLA, "bag", "eval", "--bag", value["bag"], "--policy", folder, "--answers", answers],
        [
            "--out", out, *common, *option("cameras", value), "--seed", value["seed"],
            "--replan-steps", value["replan_steps"], "--source", value["source"],
        ],
    )  # fmt: skip
    step = value["mode"] == "step"
    policy = lifecycle_node(
        "policy_node",
        policy=text("policy"),
        device=text("device"),
        replan_steps=number("replan_steps", int),
        image_period=number("image_period", float),
        seed=number("seed", int),
        synchronous=step,
        synchronous_timeout=30.0,
        synchronous_image_timeout=2.0,  # each one has been acknowledged before the state is sent
        seed_by_stamp=True,
        reliable_images=step,  # in real time what is lost is lost, as on the robot
        use_sim_time=True,
        # What hangs on the machine's speed would answer otherwise in each run.
        **({"compute.deadline_ms": 0.0, "compute.guard_every": 0} if step else {}),
    )
    return [
        prepare,
        after(prepare, [*policy, play]),
        after(play, [score]),
        after(score, [EmitEvent(event=Shutdown(reason=f"scores are in {out}"))]),
    ]


def number(name, kind):
    return ParameterValue(LaunchConfiguration(name), value_type=kind)


def option(name, value):
    return [f"--{name}", value[name]] if value[name] else []


def process(name, command, arguments):
    words = [str(word) for word in (*command, *arguments)]
    return ExecuteProcess(cmd=words, name=name, output="both")


def after(action, following):
    """What follows when a process has ended well; else everything ends, and the launch fails."""

    def follow(event, context):
        if context.is_shutdown:
            return []
        if event.returncode == 0:
            return following
        raise RuntimeError(f"{event.process_name} has failed with exit code {event.returncode}")

    return RegisterEventHandler(OnProcessExit(target_action=action, on_exit=follow))
