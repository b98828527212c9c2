"""arm_node with the real driver on the CAN bench, and a voice that commands it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vla_msgs.msg import ArmStatus, EndEffectorCommand, EndEffectorState

from vla_arm.arx5.driver import Driver
from vla_arm.arx5.wire import Mode
from vla_policy.conversions import pose_from_message, pose_to_message
from vla_policy_node.arm_node import ArmNode
from vla_policy_node.backends.arx5 import Arx5
from vla_policy_node.qos import COMMAND, LATCHED, REPORT

sys.path.insert(0, str(Path(__file__).parents[1]))
from can_bench import CanBench

START = (0.0, 1.6964, 1.65892, -1.53331, 0.0, 0.0, 0.04)
"""About HOME."""
TIMEOUT = 30.0
DAMPING = 0.3
"""For a child to say that it has damped before it is let leave in its own time [s]."""


class ArmBench:
    """Everything from ``ee_command`` to the CAN frames.

    Attributes:
        velocity: of the target [m/s], Shape (3,), while :attr:`moving`.
        opening: of the target [m], the same.
        resting: answer states with HOLD, as a policy that has nothing to do.
        heard: steady time of each state's arrival [s].
    """

    def __init__(self, bench: CanBench, monkeypatch: Any, **parameters: Any) -> None:
        for name, value in bench.environment.items():
            monkeypatch.setenv(name, value)
        self.bench = bench
        self.context = Context()
        self.context.init()
        values = {"arm": "X5", "backend": "arx5", "hardware_mode": "full", **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = ArmNode(context=self.context, parameter_overrides=overrides)
        self.ear = Node("ear", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.executor.add_node(self.ear)
        self.status = ArmStatus()
        self.diagnostics, self.level = "", b"\0"
        self.moving = self.resting = False
        self.heard: list[float] = []
        self.velocity = np.array((0.0, 0.12, 0.0))
        self.opening = START[6]
        self.pose: np.ndarray | None = None
        self.states: list[EndEffectorState] = []
        listen = self.ear.create_subscription
        listen(ArmStatus, "arm_status", lambda m: setattr(self, "status", m), LATCHED)
        listen(EndEffectorState, "ee_state", self._answer, COMMAND)
        listen(DiagnosticArray, "/diagnostics", self._diagnose, REPORT)
        self.commands = self.ear.create_publisher(EndEffectorCommand, "ee_command", COMMAND)
        self.stop_topic = self.ear.create_publisher(Bool, "emergency_stop", COMMAND)

    def start(self) -> None:
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.until("READY", lambda: self.status.state == ArmStatus.READY)
        self.until("engaged", lambda: self.driver.engaged)

    @property
    def driver(self) -> Any:
        backend = self.node._backend
        assert isinstance(backend, Arx5)
        return backend.driver

    def _diagnose(self, message: DiagnosticArray) -> None:
        self.diagnostics = " ".join(status.message for status in message.status)
        self.level = max((status.level for status in message.status), default=b"\0")

    def _answer(self, state: EndEffectorState) -> None:
        self.states.append(state)
        self.heard.append(time.monotonic())
        if not self.moving:
            self.pose = None
            if self.resting:
                self._say(state, EndEffectorCommand(mode=EndEffectorCommand.HOLD))
            return
        if self.pose is None:
            self.pose = pose_from_message(state.commanded)
        if abs(self.pose[1]) > 0.1:
            self.velocity = -np.abs(self.velocity) * np.sign(self.pose[1])
        self.pose[:3] += self.velocity * 0.02
        message = EndEffectorCommand(mode=EndEffectorCommand.MOVE)
        pose_to_message(self.pose, message.pose)
        message.gripper = self.opening
        self._say(state, message)

    def _say(self, state: EndEffectorState, message: EndEffectorCommand) -> None:
        message.header.stamp = message.observation_stamp = state.header.stamp
        message.sequence = len(self.states)
        self.commands.publish(message)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.01)

    def until(self, what: str, done: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        end = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < end, f"{what}: not within {timeout} s ({self.status.text})"
            self.executor.spin_once(timeout_sec=0.01)

    def move(self) -> None:
        self.moving = True
        self.until("MOVING", lambda: self.status.state == ArmStatus.MOVING)
        start = self.bench.joints()[0]
        self.until("motion", lambda: abs(self.bench.joints()[0] - start) > 0.02)

    def call(self, name: str) -> Trigger.Response:
        client = self.ear.create_client(Trigger, name)
        self.until(name, client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(f"answer of {name}", future.done)
        self.ear.destroy_client(client)
        return future.result()

    def recover(self) -> None:
        """Reset the stop as soon as it can be, and move again."""
        self.bench.repair()
        self.moving = True
        self.until("the driver", lambda: self.driver.report is not None)
        self.until("reset", lambda: self.call("reset_estop").success)
        self.move()

    def last_change(self, since: float) -> float:
        """How long after a steady time [s] the target of any stiff motor last changed."""
        return self.bench.record.last_change(since)

    def damped(self) -> bool:
        """Whether no motor was last told to be stiff."""
        return set(self.bench.stiffness().values()) == {0.0}

    def close(self) -> None:
        self._hasten()
        self.node.leave()
        self.executor.shutdown()
        self.node.destroy_node()
        self.ear.destroy_node()
        self.context.try_shutdown()

    def _hasten(self) -> None:
        """Kill the child once it has damped: by itself the library leaves the bus in seconds."""
        backend = getattr(self.node, "_backend", None)  # none if it was never configured
        driver = backend.driver if isinstance(backend, Arx5) else None
        if isinstance(driver, Driver) and driver.report is not None:
            driver.damp()
            end = time.monotonic() + DAMPING
            while driver.report is not None and driver.report.mode != Mode.DAMPED:
                if time.monotonic() > end:
                    return
                self.executor.spin_once(timeout_sec=0.01)
            if driver.pid is not None:
                os.kill(driver.pid, signal.SIGKILL)
