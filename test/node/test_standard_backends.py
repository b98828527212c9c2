"""The backends for other arms, each against an arm that knows only ROS's standard messages."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from std_srvs.srv import Trigger
from vla_msgs.msg import ArmStatus, EndEffectorCommand, EndEffectorState

sys.path.insert(0, str(Path(__file__).parent.parent / "doubles"))
from graph import overrides
from standard_arms import PoseArm, TrajectoryArm, TwistArm

from vla_policy.conversions import pose_to_message
from vla_policy_node import backends
from vla_policy_node.arm_node import ArmNode
from vla_policy_node.qos import COMMAND, LATCHED

ARMS = {"joint_trajectory": TrajectoryArm, "servo_pose": PoseArm, "servo_twist": TwistArm}
TIMEOUT = 30.0
CLOSE = 0.002
"""The arm is where it was sent [m]."""


class Bench:
    """arm_node with one backend and its arm, in lockstep as if that were a simulator's: the
    machine's speed is of no matter. What hangs on time is in test_foreign_arms.py."""

    def __init__(self, backend: str, **parameters: object) -> None:
        backends.SIMULATOR = backend
        self.context = Context()
        self.context.init()
        self.arm = ARMS[backend](self.context)
        self.node = ArmNode(
            context=self.context,
            parameter_overrides=overrides(backend=backend, lockstep=True, **parameters),
        )
        self.ear = Node("ear", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.arm, self.node, self.ear):
            self.executor.add_node(node)
        self.status = ArmStatus()
        self.states: list[EndEffectorState] = []
        listen = self.ear.create_subscription
        listen(EndEffectorState, "ee_state", self.states.append, COMMAND)
        listen(ArmStatus, "arm_status", lambda message: setattr(self, "status", message), LATCHED)
        self.commands = self.ear.create_publisher(EndEffectorCommand, "ee_command", COMMAND)

    def start(self) -> None:
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        ears = self.commands.get_subscription_count
        self.until("discovery", lambda: ears() == 1 and self.arm.count_subscribers("joint_states"))
        self.state()
        self.command(self.arm.pose(), 0.04)  # until this one is obeyed, the arm is not found yet
        self.until("READY", lambda: self.arm.orders > 0)

    def until(self, what, done) -> None:
        end = time.monotonic() + TIMEOUT
        while not done():
            assert time.monotonic() < end, f"{what}: not within {TIMEOUT} s ({self.status.text})"
            self.executor.spin_once(timeout_sec=0.05)

    def state(self) -> EndEffectorState:
        """Let a tick pass; what arm_node says of it."""
        before = len(self.states)
        self.arm.tick()
        self.until("ee_state", lambda: len(self.states) > before)
        return self.states[-1]

    def command(self, pose, gripper) -> None:
        """Answer the newest state with a pose, Shape (6,), and an opening [m]."""
        header = self.states[-1].header
        message = EndEffectorCommand(
            mode=EndEffectorCommand.MOVE, gripper=gripper, sequence=len(self.states)
        )
        message.header.stamp = message.observation_stamp = header.stamp
        pose_to_message(np.asarray(pose), message.pose)
        self.commands.publish(message)

    def go(self, pose, gripper, ticks) -> None:
        for _ in range(ticks):
            self.state()
            before = self.arm.orders
            self.command(pose, gripper)
            self.until("an order", lambda before=before: self.arm.orders > before)
            assert not self.arm.complaints

    def call(self, name) -> bool:
        client = self.ear.create_client(Trigger, name)
        self.until(name, client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(f"answer of {name}", future.done)
        return future.result().success

    def close(self) -> None:
        self.node.leave()
        self.executor.shutdown()
        for node in (self.arm, self.node, self.ear):
            node.destroy_node()
        self.context.try_shutdown()
        backends.SIMULATOR = "joint_topics"


@pytest.fixture(params=sorted(ARMS))
def bench(request):
    bench = Bench(request.param)
    try:
        bench.start()
        yield bench
    finally:
        bench.close()


def test_the_arm_goes_where_it_is_sent_and_no_faster_than_it_may(bench):
    goal = bench.arm.pose() + np.array((0.03, 0.05, -0.02, 0.0, 0.0, 0.0))
    way = []
    for _ in range(60):
        way.append(bench.arm.pose()[:3])
        bench.go(goal, 0.07, 1)
    assert np.linalg.norm(bench.arm.pose()[:3] - goal[:3]) < CLOSE
    assert np.linalg.norm(bench.arm.pose()[3:] - goal[3:]) < 0.02
    assert 2 * bench.arm.finger == pytest.approx(0.07, abs=1e-3)
    limit = bench.node.settings.linear_speed * 0.02
    assert np.linalg.norm(np.diff(way, axis=0), axis=1).max() < 1.05 * limit
    assert bench.status.state == ArmStatus.MOVING


@pytest.mark.parametrize("backend", sorted(ARMS))
def test_slow_is_slow_with_every_backend(backend):
    bench = Bench(backend, hardware_mode="slow", slow_scale=0.1)
    try:
        bench.start()
        start = bench.arm.pose()
        bench.go(start + np.array((0.1, 0.0, 0.0, 0.0, 0.0, 0.0)), 0.04, 20)
        limit = bench.node.settings.linear_speed * 0.1 * 0.02
        assert 10 * limit < np.linalg.norm(bench.arm.pose()[:3] - start[:3]) < 21 * limit
    finally:
        bench.close()


@pytest.mark.parametrize("mode", ["dry_run", "teach"])
@pytest.mark.parametrize("backend", sorted(ARMS))
def test_an_arm_that_would_move_all_the_same_is_not_started(backend, mode, capfd):
    bench = Bench(backend, hardware_mode=mode)
    try:
        assert bench.node.trigger_configure() == TransitionCallbackReturn.FAILURE
        said = capfd.readouterr().err
        assert f"got '{mode}', expected slow or full" in said and backend in said
    finally:
        bench.close()


def test_a_target_outside_the_workspace_moves_nothing(bench):
    start = bench.arm.pose()
    bench.go(start + np.array((0.0, 0.0, 1.0, 0.0, 0.0, 0.0)), 0.04, 5)
    assert np.linalg.norm(bench.arm.pose() - start) < CLOSE
    bench.until("HOLD", lambda: bench.status.state == ArmStatus.HOLD)
    assert bench.status.reason == ArmStatus.OUT_OF_WORKSPACE


def test_an_emergency_stop_ends_the_motion_until_it_is_reset(bench):
    goal = bench.arm.pose() + np.array((0.0, 0.1, 0.0, 0.0, 0.0, 0.0))
    bench.go(goal, 0.04, 3)
    assert bench.call("estop")
    bench.go(goal, 0.04, 30)
    stopped = bench.arm.pose()
    assert np.linalg.norm(stopped[:3] - goal[:3]) > 0.03
    bench.go(goal, 0.04, 5)
    assert np.linalg.norm(bench.arm.pose() - stopped) < CLOSE
    bench.until("ESTOP", lambda: bench.status.state == ArmStatus.ESTOP)
    assert bench.call("reset_estop")
    bench.go(goal, 0.04, 40)
    assert np.linalg.norm(bench.arm.pose()[:3] - goal[:3]) < CLOSE


def test_states_without_the_finger_hold_the_arm_and_are_named(bench):
    bench.arm.finger = float("nan")
    before = len(bench.states)
    bench.arm.tick()
    bench.until("the fault", lambda: "finite" in bench.node._fault)
    assert len(bench.states) == before
    bench.arm.finger = 0.02
    bench.state()
    assert bench.node._fault == ""
