"""What the launch files share: lifecycle nodes brought up by events, the robot's description."""

from __future__ import annotations

import os
from typing import Any

from ament_index_python.packages import get_packages_with_prefixes
from launch.actions import EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

from vla_arm.joint_table import get_arm
from vla_arm.urdf import urdf
from vla_policy_node.lifecycle import LAUNCHED
from vla_policy_node.shared_memory import remove_unfinished_ports

REMAPPINGS = [("/clock", "clock"), ("/tf", "tf"), ("/tf_static", "tf_static")]
"""With a namespace, each robot has a clock and transforms of its own."""


def lifecycle_node(
    executable: str, remappings: Any = (), base: str = "", **parameters: Any
) -> list[Any]:
    """One of our nodes, configured at once and activated when that is done; its end ends all.

    Args:
        executable: name of the program and the node.
        remappings: of topics.
        base: file of the package's config/ that holds where the user's file says nothing.
        parameters: win over both files.
    """
    files: list[Any] = [LaunchConfiguration("params_file")]
    if base:
        files.insert(0, PathJoinSubstitution([FindPackageShare("lean_vla"), "config", base]))
    node = LifecycleNode(
        package="lean_vla",
        executable=executable,
        name=executable,
        namespace=LaunchConfiguration("namespace"),
        output="both",
        emulate_tty=True,
        sigkill_timeout="20",
        additional_env={LAUNCHED: str(os.getpid())},
        parameters=[*files, parameters],
        remappings=[*REMAPPINGS, *remappings],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
    )
    ended = Shutdown(reason=f"{executable} has ended")
    failed = Shutdown(reason=f"{executable} could not be configured")

    def on(goal: str, action: Any, start: str | None = None) -> RegisterEventHandler:
        return RegisterEventHandler(
            OnStateTransition(
                target_lifecycle_node=node, start_state=start, goal_state=goal, entities=[action]
            )
        )

    return [
        # Before launch joins the graph itself, to tell the node what to do.
        OpaqueFunction(function=_mend_shared_memory),
        on("inactive", _change(node, Transition.TRANSITION_ACTIVATE), "configuring"),
        on("active", LogInfo(msg=f"{executable} is active")),
        on("unconfigured", EmitEvent(event=failed), "configuring"),
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
        _change(node, Transition.TRANSITION_CONFIGURE),
    ]


def description(model: str, use_sim_time: Any = False) -> list[Any]:
    """All links on /tf for the arm that a launch argument names, where the publisher is there."""
    if "robot_state_publisher" not in get_packages_with_prefixes():
        return [LogInfo(msg="no robot_state_publisher here: only base_link -> eef_link on /tf")]

    def make(context: Any) -> list[Any]:
        document = urdf(get_arm(LaunchConfiguration(model).perform(context)))
        return [state_publisher(document, use_sim_time)]

    return [OpaqueFunction(function=make)]


def state_publisher(document: str, use_sim_time: Any) -> Node:
    """robot_state_publisher with a URDF."""
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        namespace=LaunchConfiguration("namespace"),
        parameters=[{"robot_description": document, "use_sim_time": use_sim_time}],
        remappings=REMAPPINGS,
    )


def rviz(use_sim_time: Any = False, images: Any = ()) -> Node:
    """RViz, if the launch argument ``rviz`` says so, with the file that ``rviz_config`` names.

    Args:
        use_sim_time: whether time is the simulator's.
        images: remappings of the cameras' topics, from their relative names.
    """
    # The file names topics by their full names.
    cameras = [f"camera/{name}/image_raw" for name in ("front", "wrist")]
    topics = {name: name for name in ("robot_description", "tf", "tf_static", *cameras)}
    topics |= dict(images)
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", LaunchConfiguration("rviz_config")],
        parameters=[{"use_sim_time": use_sim_time}],
        remappings=[(f"/{name}", topic) for name, topic in topics.items()],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )


def has(package: str) -> bool:
    """Whether a ROS package is installed."""
    return package in get_packages_with_prefixes()


def text(name: str) -> ParameterValue:
    """A launch argument as a string parameter."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def boolean(name: str) -> ParameterValue:
    """A launch argument as a boolean parameter."""
    return ParameterValue(LaunchConfiguration(name), value_type=bool)


def _mend_shared_memory(context: Any) -> None:
    remove_unfinished_ports()


def _change(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(
        event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    )
