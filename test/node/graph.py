"""Nodes under test in this process, with a robot that can lose any of its senses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import ActionChunk, ArmStatus, EndEffectorCommand, EndEffectorState

from vla_arm.joint_table import HOME
from vla_policy.conversions import rgb_to_image, seconds, set_stamp
from vla_policy_node.arm_node import ArmNode
from vla_policy_node.policy_node import PolicyNode
from vla_policy_node.qos import COMMAND, LATCHED, REPORT

sys.path.insert(0, str(Path(__file__).parent.parent / "doubles"))
import scripted_policy

NAMES = [f"joint{i}" for i in range(1, 7)] + ["gripper"]
TICK = 0.02
STEPS = 400


def overrides(**values: Any) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


class Robot(Node):
    """An ideal arm and two cameras at 50 and 10 Hz; each sense can be switched off or broken.

    Attributes:
        joints, cameras, clock: whether they are published.
        names, positions: of the joint states, to break them.
        image: makes the image messages, to break them.
        targets: joint targets that came: (steady time, positions).
    """

    def __init__(self, context: Context, sim_time: bool) -> None:
        super().__init__("robot", context=context)
        self.joints = self.cameras = True
        self.clock = True
        self.names = list(NAMES)
        self.positions = [*HOME, 0.08]
        self.image: Callable[[], Image] = self.good_image
        self.targets: list[tuple[float, list[float]]] = []
        self._sim_time, self._ticks, self._time = sim_time, 0, 100.0
        self._joints_out = self.create_publisher(JointState, "joint_states", COMMAND)
        self._clock_out = self.create_publisher(ClockMessage, "/clock", COMMAND)
        self._cameras_out = [
            self.create_publisher(Image, f"camera/{name}/image_raw", qos_profile_sensor_data)
            for name in ("front", "wrist")
        ]
        self.create_subscription(JointState, "joint_commands", self._take, COMMAND)
        self.create_timer(TICK, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def now(self) -> float:
        return self._time if self._sim_time else self.get_clock().now().nanoseconds * 1e-9

    def good_image(self) -> Image:
        message = Image()
        rgb_to_image(np.full((96, 96, 3), 90, np.uint8), message)
        return message

    def _take(self, message: JointState) -> None:
        self.targets.append((time.monotonic(), list(message.position)))
        if self.names == NAMES:
            self.positions = list(message.position)

    def _tick(self) -> None:
        self._ticks += 1
        if self._sim_time and self.clock:
            self._time += TICK
            message = ClockMessage()
            set_stamp(message.clock, self._time)
            self._clock_out.publish(message)
        if self.cameras and self._ticks % 5 == 0:
            for publisher in self._cameras_out:
                image = self.image()
                set_stamp(image.header.stamp, self.now())
                publisher.publish(image)
        if self.joints:
            joints = JointState(name=self.names, position=self.positions)
            joints.velocity = [0.0] * len(self.positions)
            set_stamp(joints.header.stamp, self.now())
            self._joints_out.publish(joints)


class Graph:
    """The robot, arm_node and policy_node in one executor, with ears for what they say."""

    def __init__(self, sim_time: bool = False, **policy_parameters: Any) -> None:
        self.context = Context()
        self.context.init()
        self.executor = SingleThreadedExecutor(context=self.context)
        self.robot = Robot(self.context, sim_time)
        self.policy = scripted_policy.ScriptedPolicy({"rise": rising()})
        scripted_policy.shared = lambda device: self.policy
        policy_parameters.setdefault("policy", "python:scripted_policy.shared")
        policy_parameters.setdefault("use_sim_time", sim_time)
        self.policy_node = PolicyNode(
            context=self.context, parameter_overrides=overrides(**policy_parameters)
        )
        self.arm_node = ArmNode(
            context=self.context, parameter_overrides=overrides(use_sim_time=sim_time)
        )
        self.ear = Node("ear", context=self.context)
        self.commands: list[EndEffectorCommand] = []
        self.states: list[EndEffectorState] = []
        self.chunks: list[ActionChunk] = []
        self.arm = ArmStatus()
        listen = self.ear.create_subscription
        listen(EndEffectorCommand, "ee_command", self.commands.append, COMMAND)
        listen(EndEffectorState, "ee_state", self.states.append, COMMAND)
        listen(ActionChunk, "action_chunk", self.chunks.append, REPORT)
        listen(ArmStatus, "arm_status", lambda message: setattr(self, "arm", message), LATCHED)
        self.instruction = self.ear.create_publisher(String, "instruction", LATCHED)
        self.action = ActionClient(self.ear, ExecuteInstruction, "execute_instruction")
        for node in (self.robot, self.policy_node, self.arm_node, self.ear):
            self.executor.add_node(node)

    def start(self) -> None:
        """Bring all up, and wait until the arm is ready and answered."""
        for node in (self.arm_node, self.policy_node):
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.until("arm READY", lambda: self.arm.state == ArmStatus.READY)
        self.until("ee_command", lambda: len(self.commands) > 0)
        self.until("action server", self.action.server_is_ready)

    def until(self, what: str, done: Callable[[], bool], timeout: float = 20.0) -> None:
        """Take messages until something is so."""
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"{what}: not within {timeout} s"
            self.executor.spin_once(timeout_sec=0.05)

    def turn(self, count: int = 25) -> None:
        """Take messages until the robot has made so many more ticks."""
        until = self.robot._ticks + count
        self.until(f"{count} ticks", lambda: self.robot._ticks >= until)

    def rise(self) -> None:
        """Give the instruction, and wait until the arm is well under way."""
        self.instruction.publish(String(data="rise"))
        before = len(self.commands)

        def moving() -> bool:
            last = self.commands[before:][-10:]
            return len(last) == 10 and all(c.mode == EndEffectorCommand.MOVE for c in last)

        self.until("ten MOVE commands in a row", moving)
        self.until("arm MOVING", lambda: self.arm.state == ArmStatus.MOVING)

    def last_motion(self, since: float) -> float:
        """How long after a steady time [s] the joint targets last changed."""
        changes = [
            t for (_, a), (t, b) in zip(self.robot.targets, self.robot.targets[1:]) if a != b
        ]
        return max((t - since for t in changes if t > since), default=0.0)

    def holding(self) -> bool:
        """Whether the newest command holds."""
        return self.commands[-1].mode == EndEffectorCommand.HOLD

    def send_goal(self, instruction: str, time_limit: float = 0.0) -> Any:
        """Send a goal and return its handle when it was answered."""
        goal = ExecuteInstruction.Goal(instruction=instruction, time_limit=time_limit)
        future = self.action.send_goal_async(goal)
        self.until("answer to the goal", future.done)
        return future.result()

    def result(self, handle: Any, timeout: float = 20.0) -> ExecuteInstruction.Result:
        """Wait for a goal's end."""
        future = handle.get_result_async()
        self.until("the goal's result", future.done, timeout)
        return future.result().result

    def close(self) -> None:
        """Take all down."""
        for node in (self.policy_node, self.arm_node):
            node.leave()
        self.executor.shutdown()
        for node in (self.robot, self.policy_node, self.arm_node, self.ear):
            node.destroy_node()
        self.context.try_shutdown()


def rising() -> np.ndarray:
    """Targets that rise slowly from home, one a step. Shape (400, 7)."""
    from vla_arm.joint_table import X5
    from vla_arm.kinematics import ArmKinematics

    home = ArmKinematics(X5).forward(np.array(HOME))
    targets = np.tile(np.append(home, 0.08), (STEPS, 1))
    targets[:, 2] += np.minimum(np.arange(STEPS) * 0.003, 0.12)
    targets[:, 1] += 0.08 * np.sin(np.arange(STEPS) * 0.1)
    return targets


def stamp_of(message: Any) -> float:
    return seconds(message.header.stamp)
