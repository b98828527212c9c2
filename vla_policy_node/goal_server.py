"""The action server ``execute_instruction``: at most one goal, which owns the instruction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import EpisodeMark, TaskStatus

from vla_policy.contract import ActionChunk, validate_instruction
from vla_policy.conversions import report_to_message, seconds
from vla_policy.errors import PolicyError
from vla_policy_node.goal import Ending, Goal, Result

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

_MARKS = {
    EpisodeMark.SUCCESS: (Result.OPERATOR_SUCCESS, "marked as done"),
    EpisodeMark.FAILURE: (Result.OPERATOR_FAILURE, "marked as failed"),
}
PATIENCE = 5.0
"""A goal whose inputs are missing for so long is aborted [s]."""


class GoalServer:
    """Takes goals and sees them through.

    Args:
        node: the node that serves.
        trouble: says why no goal can be taken now; empty if one can.
        follow: begins to follow an instruction.
        release: ends that; returns how many chunks it took.
        time_limit: of goals that name none [s].
    """

    def __init__(
        self,
        node: SettingsNode,
        *,
        trouble: Callable[[], str],
        follow: Callable[[str], None],
        release: Callable[[], int],
        time_limit: Callable[[], float],
    ) -> None:
        self._node, self._trouble, self._follow, self._release = node, trouble, follow, release
        self._time_limit = time_limit
        self._task: TaskStatus | None = None
        self.goal: Goal | None = None
        server = ActionServer(
            node,
            ExecuteInstruction,
            "execute_instruction",
            self._execute,
            goal_callback=self._judge,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )
        node.keep(server.destroy)

    def see_task(self, message: TaskStatus) -> None:
        """Take what the simulation says of the task."""
        self._task = message
        if self.goal is not None:
            self.goal.see_task(message, seconds(message.header.stamp))

    def see_mark(self, mark: EpisodeMark) -> None:
        """Take what an operator says of the running goal: where nobody simulates, only he knows."""
        if mark.kind in _MARKS:
            reason, text = _MARKS[mark.kind]
            self.end(reason, f"{text} ({mark.source or 'operator'})")

    def see_chunk(self, chunk: ActionChunk) -> None:
        """Tell the client of another chunk."""
        if self.goal is None or self.goal.ending.done():
            return
        self.goal.gflops += chunk.report.gflops
        feedback = ExecuteInstruction.Feedback(elapsed=self.goal.elapsed, progress=-1.0)
        if (task := self.goal.task) is not None:
            feedback.phase, feedback.progress = task.phase, task.progress
        report_to_message(chunk.report, feedback.report)
        self.goal.handle.publish_feedback(feedback)

    def end(self, reason: int, text: str) -> bool:
        """End the running goal, if any; returns whether one was running."""
        if self.goal is not None:
            self.goal.end(reason, text)
        return self.goal is not None

    def _judge(self, goal: ExecuteInstruction.Goal) -> GoalResponse:
        trouble = "another goal is running" if self.goal else self._trouble()
        try:
            validate_instruction(goal.instruction)
        except PolicyError as error:
            trouble = str(error)
        if not math.isfinite(goal.time_limit) or goal.time_limit < 0:
            trouble = f"time limit {goal.time_limit}: expected 0 or more seconds"
        if trouble:
            self._node.warn(f"goal rejected: {trouble}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    async def _execute(self, handle: Any) -> ExecuteInstruction.Result:
        wanted = handle.request
        limit = wanted.time_limit or self._time_limit()
        goal = Goal(handle, wanted.instruction, limit, PATIENCE)
        if self._task is not None:
            goal.see_task(self._task, -1.0)
        self.goal = goal
        self._follow(wanted.instruction)
        ending: Ending = await goal.ending  # type: ignore[assignment]
        self.goal = None
        chunks = self._release()
        done = ending.reason in (Result.SUCCEEDED_TASK, Result.OPERATOR_SUCCESS)
        if done:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        self._node.get_logger().info(
            f"{wanted.instruction!r}: {ending.text} ({goal.elapsed:.2f} s)"
        )
        return ExecuteInstruction.Result(
            reason=ending.reason,
            text=ending.text,
            success=done,
            elapsed=goal.elapsed,
            chunks=chunks,
            gflops=goal.gflops,
        )
