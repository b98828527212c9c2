"""What the last chunks cost, for status, diagnostics and the chunk's own message."""

from __future__ import annotations

from geometry_msgs.msg import Pose
from rclpy.clock import Clock
from vla_msgs.msg import ActionChunk as ActionChunkMessage
from vla_msgs.msg import PolicyStatus, StampedInput

from vla_policy.contract import ActionChunk, ComputeReport
from vla_policy.conversions import chunk_to_message, report_to_message
from vla_policy_node.pilot import Pilot


class ChunkReport:
    """Remembers the last chunk's report and when it came.

    Args:
        clock: steady clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Forget the chunks of another episode."""
        self.report, self.interval = ComputeReport(), 0.0
        self._last: float | None = None

    @property
    def milliseconds(self) -> float:
        """Time that the last chunk took [ms]."""
        return float(self.report.milliseconds.get("total", 0.0))

    @property
    def stages(self) -> str:
        """Time that each stage of the last chunk took, in words."""
        times = self.report.milliseconds.items()
        return ", ".join(f"{name} {ms:.1f}" for name, ms in times if name != "total")

    def message(self, chunk: ActionChunk) -> ActionChunkMessage:
        """Take a chunk and return its message.

        Raises:
            ValueError, TypeError, OverflowError: the report holds what the message cannot.
        """
        message = ActionChunkMessage()
        chunk_to_message(chunk, message, Pose, StampedInput)
        now = self._clock.now().nanoseconds * 1e-9
        self.interval = 0.0 if self._last is None else now - self._last
        self._last, self.report = now, chunk.report
        return message

    def status(self, pilot: Pilot, active: bool) -> PolicyStatus:
        """Say what the policy does; stamp, hash and the chunk's age are left to the node."""
        message = PolicyStatus(text=pilot.complaint, instruction=pilot.instruction)
        if not active:
            message.state = PolicyStatus.INACTIVE
        elif pilot.fault:
            message.state = PolicyStatus.FAULT
        elif pilot.complaint:
            message.state = PolicyStatus.WAITING
        else:
            message.state = PolicyStatus.RUNNING if pilot.instruction else PolicyStatus.IDLE
        message.chunks, message.discarded = pilot.chunks, pilot.discarded
        message.malformed_inputs = pilot.malformed
        message.chunk_age, message.interval = -1.0, self.interval
        report_to_message(self.report, message.report)
        return message
