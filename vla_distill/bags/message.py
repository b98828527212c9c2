"""Messages made without ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_policy.contract import ActionChunk
from vla_policy.conversions import chunk_to_message, pose_to_message, set_stamp
from vla_policy.message_types import message_types


class MessageMaker:
    """Makes messages of ``vla_msgs`` and of ROS, all stamped [s]."""

    def __init__(self) -> None:
        self._types = message_types().types

    def empty(self, kind: str) -> Any:
        """A message with zeros, e.g. of ``vla_msgs/msg/ActionChunk``."""
        values = {}
        fields: Any = message_types().get_msgdef(kind).fields  # their types nest without end
        for name, (node, detail) in fields:
            if node == 1:  # base type
                values[name] = {"string": "", "bool": False}.get(
                    detail[0], 0.0 if detail[0].startswith("float") else 0
                )
            elif node == 2:  # another message
                values[name] = self.empty(detail)
            else:
                values[name] = []
        return self._types[kind](**values)

    def stamped(self, kind: str, stamp: float, frame: str = "") -> Any:
        """A message with a header."""
        message = self.empty(kind)
        set_stamp(message.header.stamp, stamp)
        message.header.frame_id = frame
        return message

    def text(self, text: str) -> Any:
        """``std_msgs/String``."""
        return self._types["std_msgs/msg/String"](data=text)

    def image(self, stamp: float, camera: str, pixels: NDArray[np.uint8]) -> Any:
        """``sensor_msgs/Image``. ``pixels``: Shape (H, W, 3), uint8, RGB."""
        message = self.stamped("sensor_msgs/msg/Image", stamp, f"{camera}_optical_frame")
        message.height, message.width = pixels.shape[:2]
        message.encoding, message.step = "rgb8", pixels.shape[1] * 3
        message.data = np.ascontiguousarray(pixels).reshape(-1)
        return message

    def state(
        self, stamp: float, state: NDArray[np.floating], commanded: NDArray[np.floating]
    ) -> Any:
        """``EndEffectorState`` of a state, Shape (8,), and what was sent, Shape (7,)."""
        message = self.stamped("vla_msgs/msg/EndEffectorState", stamp, "base_link")
        pose_to_message(state, message.measured)
        pose_to_message(commanded, message.commanded)
        message.gripper_measured = float(state[6])
        message.gripper_commanded = float(commanded[6])
        return message

    def command(
        self, stamp: float, target: NDArray[np.floating], observed: float | None = None
    ) -> Any:
        """``EndEffectorCommand`` to MOVE to a target, Shape (7,)."""
        message = self.stamped("vla_msgs/msg/EndEffectorCommand", stamp, "base_link")
        message.mode, message.gripper = 1, float(target[6])
        pose_to_message(target, message.pose)
        set_stamp(message.observation_stamp, observed or 0.0)
        return message

    def chunk(self, chunk: ActionChunk) -> Any:
        """``ActionChunk``."""
        message = self.empty("vla_msgs/msg/ActionChunk")
        chunk_to_message(
            chunk,
            message,
            lambda: self.empty("geometry_msgs/msg/Pose"),
            lambda: self.empty("vla_msgs/msg/StampedInput"),
        )
        message.grippers = np.array(message.grippers, np.float64)
        report = message.report
        report.layers_run = np.array(report.layers_run, np.uint16)
        report.milliseconds = np.array(report.milliseconds, np.float64)
        return message

    def mark(
        self,
        stamp: float,
        kind: int,
        instruction: str = "",
        task: str = "",
        seed: int = 0,
        source: str = "simulation",
    ) -> Any:
        """``EpisodeMark``."""
        message = self.stamped("vla_msgs/msg/EpisodeMark", stamp)
        message.kind, message.instruction, message.task = kind, instruction, task
        message.seed, message.source = seed, source
        return message
