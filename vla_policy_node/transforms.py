"""base_link -> eef_link on /tf, written by hand: tf2_ros is not everywhere that rclpy is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray

from vla_policy.conversions import rotvec_to_quaternion, set_stamp
from vla_policy_node.qos import REPORT

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # ROS 2 from the Python registries comes without it
    TFMessage: Any = None


def make_transforms(node: SettingsNode, base: str, tool: str) -> Transforms | None:
    """Return a publisher of transforms, or None, and say so, where ``tf2_msgs`` is missing."""
    if TFMessage is None:
        node.get_logger().info("no tf2_msgs here: nothing is published on /tf")
        return None
    return Transforms(node, base, tool)


class Transforms:
    """Publishes one transform.

    Args:
        node: the node that publishes.
        base: the parent frame.
        tool: the child frame.
    """

    def __init__(self, node: SettingsNode, base: str, tool: str) -> None:
        self._base, self._tool = base, tool
        self._out = node.publisher(TFMessage, "/tf", REPORT)

    def publish(self, stamp: float, pose: NDArray[np.float64]) -> None:
        """Say where the tool is: position [m] and rotation vector [rad], Shape (6,)."""
        transform = TransformStamped(child_frame_id=self._tool)
        transform.header.frame_id = self._base
        set_stamp(transform.header.stamp, stamp)
        shift, turn = transform.transform.translation, transform.transform.rotation
        shift.x, shift.y, shift.z = (float(value) for value in pose[:3])
        turn.x, turn.y, turn.z, turn.w = rotvec_to_quaternion(*(float(v) for v in pose[3:6]))
        self._out.publish(TFMessage(transforms=[transform]))
