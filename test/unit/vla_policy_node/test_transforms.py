"""The tool's place on /tf, where tf2_msgs is there; here it is not, so a double stands in."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from scipy.spatial.transform import Rotation

from vla_policy_node import transforms


@dataclass
class Message:
    transforms: list[TransformStamped] = field(default_factory=list)


class Node:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.topics: list[str] = []

    def publisher(self, kind: type, topic: str, qos: object) -> "Node":
        self.topics.append(topic)
        return self

    def publish(self, message: Message) -> None:
        self.said.append(message)

    def get_logger(self) -> "Node":
        return self

    def info(self, text: str) -> None:
        self.topics.append(text)


def test_the_tool_is_where_the_pose_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "TFMessage", Message)
    node, turn = Node(), [0.3, -0.4, 1.2]
    out = transforms.make_transforms(node, "base_link", "eef_link")  # type: ignore[arg-type]
    assert out is not None and node.topics == ["/tf"]
    out.publish(12.25, np.array([0.1, 0.2, 0.3, *turn]))
    ((transform,),) = (message.transforms for message in node.said)
    assert (transform.header.frame_id, transform.child_frame_id) == ("base_link", "eef_link")
    assert (transform.header.stamp.sec, transform.header.stamp.nanosec) == (12, 250_000_000)
    place, q = transform.transform.translation, transform.transform.rotation
    assert [place.x, place.y, place.z] == [0.1, 0.2, 0.3]
    np.testing.assert_allclose(Rotation.from_quat([q.x, q.y, q.z, q.w]).as_rotvec(), turn)


def test_without_tf2_msgs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "TFMessage", None)
    node = Node()
    assert transforms.make_transforms(node, "base_link", "eef_link") is None  # type: ignore[arg-type]
    assert "tf2_msgs" in node.topics[0]
