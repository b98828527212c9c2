"""What the last chunks cost, for status, diagnostics and the chunk's own message."""

from __future__ import annotations

from geometry_msgs.msg import Pose
from rclpy.clock import Clock
from vla_msgs.msg import ActionChunk as ActionChunkMessage
from vla_msgs.msg import StampedInput

from vla_policy.contract import ActionChunk, ComputeReport
from vla_policy.conversions import chunk_to_message


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

    def message(self, chunk: ActionChunk) -> ActionChunkMessage:
        """Take a chunk and return its message."""
        now = self._clock.now().nanoseconds * 1e-9
        self.interval = 0.0 if self._last is None else now - self._last
        self._last, self.report = now, chunk.report
        message = ActionChunkMessage()
        chunk_to_message(chunk, message, Pose, StampedInput)
        return message
