"""Nodes under test in this process, with a robot that can lose any of its senses."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import ActionChunk, ArmStatus, EndEffectorCommand, EndEffectorState

from vla_arm.joint_table import HOME
from vla_policy.conversions import seconds, set_stamp
from vla_policy.image_conversion import rgb_to_image
from vla_policy_node import clock
from vla_policy_node.arm_node import ArmNode
from vla_policy_node.policy_node import PolicyNode
from vla_policy_node.qos import COMMAND, LATCHED, REPORT

sys.path.insert(0, str(Path(__file__).parent.parent / "doubles"))
import scripted_policy

NAMES = [f"joint{i}" for i in range(1, 7)] + ["gripper"]
TICK = 0.02
STEPS = 400
TOPICS = {
    "joint_states": 1,
    "camera/front/image_raw": 1,
    "camera/wrist/image_raw": 1,
    "ee_state": 2,
    "ee_command": 2,
    "joint_commands": 1,
    "arm_status": 2,
    "instruction": 1,
}
"""How many ears each topic shall have before a test begins."""


def overrides(**values: Any) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


class Robot(Node):
    """An ideal arm and two cameras at 50 and 10 Hz; each sense can be switched off or broken.

    Attributes:
        joints, cameras, clock: whether they are published; without clock its time stands still.
        names, positions: of the joint states, to break them.
        image: makes the image messages, to break them.
        time: the robot's time [s].
        targets: joint targets that came: (steady time, positions).
    """

    def __init__(self, context: Context, steady: Callable[[], float]) -> None:
        super().__init__("robot", context=context)
        self.joints = self.cameras = self.clock = True
        self.names = list(NAMES)
        self.positions = [*HOME, 0.08]
        self.image: Callable[[], Image] = self.good_image
        self.targets: list[tuple[float, list[float]]] = []
        self.answered = self.imaged = 0.0
        self.time, self.ticks, self._steady = 100.0, 0, steady
        self._joints_out = self.create_publisher(JointState, "joint_states", COMMAND)
        self._clock_out = self.create_publisher(ClockMessage, "/clock", COMMAND)
        self._cameras_out = [
            self.create_publisher(Image, f"camera/{name}/image_raw", qos_profile_sensor_data)
            for name in ("front", "wrist")
        ]
        self.create_subscription(JointState, "joint_commands", self._take, COMMAND)

    def good_image(self) -> Image:
        message = Image()
        rgb_to_image(np.full((96, 96, 3), 90, np.uint8), message)
        return message

    def healthy(self) -> bool:
        """Whether the joint states are such that the arm can use them."""
        return self.joints and self.names == NAMES

    def tick(self) -> None:
        """Say what this tick has to say."""
        self.ticks += 1
        if self.clock:
            self.time = round(self.time + TICK, 9)
            message = ClockMessage()
            set_stamp(message.clock, self.time)
            self._clock_out.publish(message)
        if self.cameras and self.ticks % 5 == 0:
            self.imaged = self.time
            for publisher in self._cameras_out:
                image = self.image()
                set_stamp(image.header.stamp, self.time)
                publisher.publish(image)
        if self.joints:
            joints = JointState(name=self.names, position=self.positions)
            joints.velocity = [0.0] * len(self.positions)
            set_stamp(joints.header.stamp, self.time)
            self._joints_out.publish(joints)

    def _take(self, message: JointState) -> None:
        self.targets.append((self._steady(), list(message.position)))
        self.answered = stamp_of(message)
        if self.names == NAMES:
            self.positions = list(message.position)


class Graph:
    """The robot, arm_node and policy_node in one executor, with ears for what they say.

    Time is made here: all clocks, the steady one included, go on by 20 ms a tick, and a tick waits
    until everyone has heard and answered. So nothing depends on how fast the machine is.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady = 1000.0
        monkeypatch.setattr(clock, "steady", lambda: self.steady)
        self.context = Context()
        self.context.init()
        self.executor = SingleThreadedExecutor(context=self.context)
        self.robot = Robot(self.context, lambda: self.steady)
        self.policy = scripted_policy.ScriptedPolicy({"rise": rising()})
        monkeypatch.setattr(scripted_policy, "make", lambda device: self.policy)
        policy = {"policy": "python:scripted_policy.make", "use_sim_time": True}
        self.policy_node = PolicyNode(context=self.context, parameter_overrides=overrides(**policy))
        self.arm_node = ArmNode(
            context=self.context, parameter_overrides=overrides(use_sim_time=True)
        )
        self.policy_lives = True
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
        """Bring all up, and wait until all have found each other and the arm is ready."""
        for node in (self.arm_node, self.policy_node):
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.wait("the action server", self.action.server_is_ready)
        for topic, ears in TOPICS.items():
            self.wait(
                topic, lambda topic=topic, ears=ears: self.robot.count_subscribers(topic) >= ears
            )
        self.wait("the first answer", self._first_answer)
        self.until("arm READY", lambda: self.arm.state == ArmStatus.READY)

    def _first_answer(self) -> bool:
        # Discovery is done when a first tick has gone all the way round.
        self.robot.tick()
        for _ in range(20):
            self.executor.spin_once(timeout_sec=0.01)
        return bool(self.robot.targets and self.commands)

    def wait(self, what: str, done: Callable[[], bool], timeout: float = 30.0) -> None:
        """Take messages while time stands still, until something is so [s, wall clock]."""
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"{what}: not within {timeout} s"
            self.executor.spin_once(timeout_sec=0.02)

    def tick(self) -> None:
        """Let 20 ms pass, for everyone."""
        self.steady += TICK
        self.robot.tick()
        self.wait("the tick's answers", self._settled)
        self.executor.spin_once(timeout_sec=0.0)
        self.arm_node._on_watchdog()
        self.wait("the arm's status", lambda: self.arm.state == self.arm_node._state)

    def _settled(self) -> bool:
        """Whether everyone has heard of this tick and said what there is to say."""
        robot, pilot = self.robot, self.policy_node._pilot
        now = robot.time - TICK / 2
        inbox = self.policy_node._camera_list
        heard = all((camera.arrival.stamp or 0.0) > robot.imaged - TICK / 2 for camera in inbox)
        if self.policy_lives and not heard:
            return False
        if robot.clock and self.arm_node.get_clock().now().nanoseconds * 1e-9 < now:
            return False
        if not robot.healthy():
            return robot.joints is False or bool(self.arm_node._fault)
        if (self.arm_node._states.stamp or 0.0) < now:
            return False
        thinking = self.policy_node._inference
        if self.policy.gate.is_set() and thinking is not None and thinking.busy:
            return self.policy_lives is False
        if not self.policy_lives or pilot is None or not self.policy_node.active:
            return True
        return robot.answered > now and stamp_of(self.commands[-1]) > now

    def until(self, what: str, done: Callable[[], bool], timeout: float = 20.0) -> None:
        """Let time pass until something is so, at most so long [s of the robot's time]."""
        for _ in range(round(timeout / TICK)):
            if done():
                return
            self.tick()
        assert done(), f"{what}: not within {timeout} s"

    def turn(self, count: int = 25) -> None:
        """Let so many ticks pass."""
        for _ in range(count):
            self.tick()

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

    def call(self, name: str) -> Trigger.Response:
        """Call a service of the arm."""
        client = self.ear.create_client(Trigger, name)
        self.wait(name, client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.wait(f"answer of {name}", future.done)
        return future.result()

    def send_goal(self, instruction: str, time_limit: float = 0.0) -> Any:
        """Send a goal and return its handle when it was answered."""
        goal = ExecuteInstruction.Goal(instruction=instruction, time_limit=time_limit)
        future = self.action.send_goal_async(goal)
        self.wait("answer to the goal", future.done)
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
