"""The simulated cameras as topics: the policy's small square ones, and a large overview."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from vla_policy.conversions import set_stamp
from vla_policy.image_conversion import rgb_to_image
from vla_policy_node.qos import LATCHED
from vla_sim.simulation import Simulation

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

OVERVIEW_OF = "front"
"""The camera that the overview is taken with."""
OVERVIEW_SIZE = (480, 640)
"""Height and width of the overview [px]."""


class SimCameras:
    """Renders and publishes ``camera/<name>/image_raw`` and ``camera_info``.

    Args:
        node: the node that publishes.
        sim: the world.
    """

    def __init__(self, node: SettingsNode, sim: Simulation) -> None:
        self._sim = sim
        self._images: dict[str, Any] = {}
        self._last: dict[str, Image] = {}
        for name in sim.cameras:
            self._images[name] = self._topic(node, name)
            info = node.publisher(CameraInfo, f"camera/{name}/camera_info", LATCHED)
            info.publish(self._info(name))
        self._overview = self._topic(node, "overview")

    def publish(self, stamp: float) -> None:
        """Take a picture with each camera now, at robot time ``stamp`` [s]."""
        for name, publisher in self._images.items():
            self._last[name] = self._message(name, stamp)
            publisher.publish(self._last[name])
        self._last.pop("overview", None)
        # Large, and of use only to a recorder: rendered when there is one.
        if self._overview.get_subscription_count() > 0:
            self._last["overview"] = self._message(OVERVIEW_OF, stamp, OVERVIEW_SIZE)
            self._overview.publish(self._last["overview"])

    def publish_again(self) -> None:
        """Send the last pictures once more."""
        for name, publisher in self._images.items():
            if name in self._last:
                publisher.publish(self._last[name])
        if "overview" in self._last:
            self._overview.publish(self._last["overview"])

    def _topic(self, node: SettingsNode, name: str) -> Any:
        return node.publisher(Image, f"camera/{name}/image_raw", qos_profile_sensor_data)

    def _message(self, camera: str, stamp: float, size: tuple[int, int] | None = None) -> Image:
        message = Image()
        set_stamp(message.header.stamp, stamp)
        message.header.frame_id = f"{camera}_optical_frame"
        rgb_to_image(self._sim.render(camera, size), message)
        return message

    def _info(self, camera: str) -> CameraInfo:
        """Pinhole parameters of a square image with MuJoCo's vertical field of view."""
        size = self._sim.image_size
        fovy = math.radians(float(self._sim.model.camera(camera).fovy[0]))
        focal, centre = 0.5 * size / math.tan(0.5 * fovy), 0.5 * size
        info = CameraInfo(height=size, width=size, distortion_model="plumb_bob")
        info.header.frame_id = f"{camera}_optical_frame"
        info.d = [0.0] * 5
        info.k = [focal, 0.0, centre, 0.0, focal, centre, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [focal, 0.0, centre, 0.0, 0.0, focal, centre, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info
