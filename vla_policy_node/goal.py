"""The running goal: when it began, and when and why it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rclpy.task import Future
from vla_msgs.action import ExecuteInstruction
from vla_msgs.msg import TaskStatus

from vla_policy_node.clock import Arrival

Result = ExecuteInstruction.Result


@dataclass(frozen=True)
class Ending:
    """Why a goal ended: a reason constant of ``ExecuteInstruction.Result``, and words."""

    reason: int
    text: str


class Goal:
    """A goal that owns the instruction until it ends.

    Args:
        handle: the action server's goal handle.
        instruction: what to do.
        time_limit: time allowed [s].
        patience: inputs may be missing for so long before the goal is given up [s].
    """

    def __init__(self, handle: Any, instruction: str, time_limit: float, patience: float) -> None:
        self.handle, self.instruction, self.time_limit = handle, instruction, time_limit
        self._patience = patience
        self._begin: float | None = None
        self._well: float | None = None
        self._last = Arrival()
        self._last.mark(0.0)
        self._task_open = False
        self.gflops = 0.0
        self.task: TaskStatus | None = None
        self.ending: Future = Future()

    @property
    def begun(self) -> bool:
        """Whether a state has come since the goal."""
        return self._begin is not None

    @property
    def elapsed(self) -> float:
        """Time since the first state after the goal came [s], by the states' stamps."""
        if self._begin is None or self._last.stamp is None:
            return 0.0
        return self._last.stamp - self._begin

    def end(self, reason: int, text: str) -> None:
        """End the goal; only the first ending counts."""
        if not self.ending.done():
            self.ending.set_result(Ending(reason, text))

    def see_state(self, stamp: float, trouble: str) -> None:
        """Take the stamp of a state [s], and what the pilot complains of, if anything."""
        if self._begin is None:
            self._begin = self._well = stamp
        if not trouble or self._well is None:
            self._well = stamp
        self._last.mark(stamp)
        if self.handle.is_cancel_requested:
            self.end(Result.CANCELED, "canceled by the client")
        elif self.elapsed >= self.time_limit - 1e-6:
            self.end(Result.TIME_LIMIT, f"not done within {self.time_limit:g} s")
        elif stamp - self._well >= self._patience:
            self.end(Result.POLICY_FAULT, trouble)

    def see_task(self, status: TaskStatus, stamp: float) -> None:
        """Take what the simulation says of the task at a time [s].

        Success counts only if it comes about during this goal, not if an earlier one left it.
        """
        self.task = status
        if not status.success:
            self._task_open = True
        elif self._task_open and self._begin is not None and stamp >= self._begin:
            self._last.mark(max(stamp, self._last.stamp or stamp))
            self.end(Result.SUCCEEDED_TASK, "the task is done")

    def check_silence(self, limit: float) -> None:
        """End the goal if no state has come for too long [s, steady clock]."""
        if self.handle.is_cancel_requested:
            self.end(Result.CANCELED, "canceled by the client")
        elif self._last.silence() > limit:
            self.end(Result.POLICY_FAULT, f"no ee_state for {limit:g} s")
