"""A client of a launched simulation: reset a scene, give an instruction, wait for the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import ArmStatus, EndEffectorCommand
from vla_msgs.srv import ResetSimulation

from vla_policy.conversions import seconds
from vla_policy_node.errors import NodeError
from vla_policy_node.qos import COMMAND, LATCHED
from vla_policy_node.shared_memory import open_context


@dataclass(frozen=True)
class Scene:
    """A scene after a reset.

    Attributes:
        task: name of the task.
        seed: seed of the scene.
        instruction: what the simulation asks for, in plain words.
        time_limit: within which it is to be done [s, simulated].
    """

    task: str
    seed: int
    instruction: str
    time_limit: float


@dataclass(frozen=True)
class Outcome:
    """How a goal ended.

    Attributes:
        success: whether the simulation judged the task as done.
        reason: termination reason, a constant of ``ExecuteInstruction.Result``.
        message: the reason in words.
        seconds: duration of the goal [s, simulated].
    """

    success: bool
    reason: int
    message: str
    seconds: float


class SimulationClient:
    """Talks to the nodes of ``sim.launch.py``; all work is done in the calling thread.

    Args:
        namespace: namespace of the nodes.
    """

    def __init__(self, namespace: str = "") -> None:
        self._context = open_context()
        self._node = Node(
            "simulation_client",
            namespace=namespace,
            context=self._context,
            start_parameter_services=False,  # it has none, and each costs its executor time
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._arm_is_ready = self._arm_was_ready = False
        self._node.create_subscription(ArmStatus, "arm_status", self._take_arm, LATCHED)
        self._reset = self._node.create_client(ResetSimulation, "reset_simulation")
        self._sim = AsyncParameterClient(self._node, "sim_node")
        self._policy = AsyncParameterClient(self._node, "policy_node")
        self._commanded = -1.0
        self._node.create_subscription(
            EndEffectorCommand, "ee_command", self._take_command, COMMAND
        )
        self._action = ActionClient(self._node, ExecuteInstruction, "execute_instruction")

    def wait_until_ready(self, timeout: float = 60.0, *, policy: bool = True) -> None:
        """Wait until all nodes are active and the arm is ready.

        Args:
            timeout: wall-clock time [s].
            policy: wait for policy_node too; without it something else moves the arm.

        Raises:
            NodeError: something is not there in time; the message names it.
        """
        self._wait("reset_simulation", self._reset.service_is_ready, timeout)
        self._wait("parameters of sim_node", self._sim.services_are_ready, timeout)
        if policy:
            self._wait("parameters of policy_node", self._policy.services_are_ready, timeout)
            self._wait("execute_instruction", self._action.server_is_ready, timeout)
        self._wait("arm_status READY", lambda: self._arm_was_ready, timeout)
        self._wait("ee_command", lambda: self._commanded >= 0.0, timeout)

    def reset(
        self,
        task: str,
        seed: int,
        *,
        instructions: str = "train",
        timeout: float = 20.0,
    ) -> Scene:
        """Begin an episode: the arm is home and ready, and time stands still until :meth:`execute`.

        Args:
            task: name of the task.
            seed: seed of the scene.
            instructions: which phrasings, ``train``, ``new_sentences`` or ``new_words``.
            timeout: wall-clock time [s].

        Raises:
            NodeError: the simulation refused, or did not answer in time.
        """
        self.pause()
        self._arm_was_ready = self._arm_is_ready
        request = ResetSimulation.Request(task=task, seed=seed, instructions=instructions)
        answer = self._call("reset_simulation", self._reset.call_async(request), timeout)
        if not answer.ok:
            raise NodeError("reset_simulation", got=answer.message, expected="a scene")
        begin = seconds(answer.stamp) - 1e-6
        self._wait("an ee_command since the reset", lambda: self._commanded >= begin, timeout)
        self._wait("arm_status READY", lambda: self._arm_was_ready, timeout)
        return Scene(task, seed, answer.instruction, answer.time_limit)

    def execute(
        self,
        instruction: str,
        time_limit: float = 0.0,
        *,
        seed: int = 0,
        on_feedback: Callable[[Any], None] | None = None,
        timeout: float = 600.0,
    ) -> Outcome:
        """Follow an instruction until it is done, its time is over, or it is aborted.

        Args:
            instruction: what to do.
            time_limit: simulated time [s]; 0 takes the node's default.
            seed: seed of the policy's noise.
            on_feedback: called with each ``ExecuteInstruction.Feedback``.
            timeout: wall-clock time [s].

        Raises:
            NodeError: the goal was rejected, or did not end in time.
        """
        self._set(self._policy, "policy_node", "seed", seed)
        goal = ExecuteInstruction.Goal(instruction=instruction, time_limit=float(time_limit))
        take = None if on_feedback is None else lambda message: on_feedback(message.feedback)
        handle = self._call(
            "execute_instruction", self._action.send_goal_async(goal, take), timeout=20.0
        )
        if not handle.accepted:
            raise NodeError(
                "execute_instruction",
                got="goal rejected (the log of policy_node says why)",
                expected="goal accepted",
            )
        self.resume()
        result = self._call("execute_instruction", handle.get_result_async(), timeout).result
        return Outcome(
            success=result.success,
            reason=result.reason,
            message=result.text,
            seconds=result.elapsed,
        )

    def resume(self) -> None:
        """Let time run on after a reset."""
        self._set(self._sim, "sim_node", "paused", False)

    def pause(self) -> None:
        """Let time stand still."""
        self._set(self._sim, "sim_node", "paused", True)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def __enter__(self) -> SimulationClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _set(self, client: AsyncParameterClient, node: str, name: str, value: bool | int) -> None:
        future = client.set_parameters([Parameter(name, value=value)])
        answer = self._call(f"parameter {name} of {node}", future, 20.0)
        if not answer.results[0].successful:
            raise NodeError(f"parameter {name}", got=answer.results[0].reason, expected="it set")

    def _call(self, name: str, future: Any, timeout: float) -> Any:
        self._wait(f"answer of {name}", future.done, timeout)
        return future.result()

    def _wait(self, what: str, done: Callable[[], bool], timeout: float) -> None:
        end = time.monotonic() + timeout
        while not done():
            if (left := end - time.monotonic()) <= 0:
                raise NodeError(what, got=f"nothing within {timeout} s", expected="it in time")
            self._executor.spin_once(timeout_sec=min(left, 0.05))

    def _take_arm(self, message: ArmStatus) -> None:
        # Ready once is enough: an arm that watches the clock holds again while time stands still.
        self._arm_is_ready = message.state == ArmStatus.READY
        self._arm_was_ready |= self._arm_is_ready

    def _take_command(self, message: EndEffectorCommand) -> None:
        self._commanded = seconds(message.header.stamp)
