"""Which topic plays which part: found by its name, or given in a YAML file.

cameras: {front: /cam_high/color/image_raw/compressed, wrist: /cam_wrist/color/image_raw}
state: /follower/joint_states     # EndEffectorState, or JointState with the names below
joints: [j1, j2, j3, j4, j5, j6]  # in the arm's order; only for JointState
gripper: finger                   # joint whose position is the opening [m]
arm: X5
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vla_distill.bags.errors import BagError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
STATE_TYPE = "vla_msgs/msg/EndEffectorState"
JOINT_TYPE = "sensor_msgs/msg/JointState"
TYPES: dict[str, tuple[str, ...]] = {
    "camera": IMAGE_TYPES,
    "state": (STATE_TYPE, JOINT_TYPE),
    "command": ("vla_msgs/msg/EndEffectorCommand",),
    "instruction": ("std_msgs/msg/String",),
    "marks": ("vla_msgs/msg/EpisodeMark",),
    "chunks": ("vla_msgs/msg/ActionChunk",),
    "task_status": ("vla_msgs/msg/TaskStatus",),
}
"""Message types that each part may have."""
_NAMES = {
    "state": "ee_state",
    "command": "ee_command",
    "instruction": "instruction",
    "marks": "episode_mark",
    "chunks": "action_chunk",
    "task_status": "task_status",
}
_CAMERA = re.compile(r"(?:^|/)camera/([^/]+)/image_raw(?:/compressed)?$")
NOT_FOR_POLICIES = ("overview",)
"""Cameras of the simulation that are for people; a mapping can name them nevertheless."""


@dataclass(frozen=True)
class TopicMapping:
    """Topics by the part that they play; an empty one is found by its usual name.

    Attributes:
        cameras: camera name -> topic; empty takes every ``camera/<name>/image_raw``.
        state: where the arm is.
        command: where it was told to go.
        instruction: what it was told in words.
        marks: where episodes begin and end.
        chunks: what a policy planned.
        task_status: how the simulation judges.
        joints: names of the arm's joints, where ``state`` is a JointState.
        gripper: name of the gripper's joint, its position the opening [m].
        arm: arm model for the kinematics of joint states.
    """

    cameras: Mapping[str, str] = field(default_factory=dict)
    state: str = ""
    command: str = ""
    instruction: str = ""
    marks: str = ""
    chunks: str = ""
    task_status: str = ""
    joints: tuple[str, ...] = tuple(f"joint{i}" for i in range(1, 7))
    gripper: str = "gripper"
    arm: str = "X5"

    def part(self, topic: str) -> tuple[str, str] | None:
        """The part that a topic plays, and the camera's name; None if it plays none."""
        for name, given in self.cameras.items():
            if topic == given:
                return "camera", name
        if not self.cameras and (match := _CAMERA.search(topic)):
            name = match.group(1)
            return None if name in NOT_FOR_POLICIES else ("camera", name)
        for part, usual in _NAMES.items():
            given = getattr(self, part)
            if topic == given or (not given and topic.rsplit("/", 1)[-1] == usual):
                return part, ""
        return None


def load_mapping(path: Path | None) -> TopicMapping:
    """Read a mapping file; None gives the usual names.

    Raises:
        BagError: the file is missing, no YAML, or has keys or values that are none of a mapping.
    """
    if path is None:
        return TopicMapping()
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BagError(f"mapping {path}", got=error, expected="a YAML file") from error
    if not isinstance(values, dict):
        raise BagError(f"mapping {path}", got=type(values).__name__, expected="names and values")
    known = {each.name: each for each in fields(TopicMapping)}
    for name, value in values.items():
        if name not in known:
            raise BagError(f"mapping {path}", got=repr(name), expected=f"one of {sorted(known)}")
        _check(path, name, value)
    if "joints" in values:
        values["joints"] = tuple(values["joints"])
    return TopicMapping(**values)


def _check(path: Path, name: str, value: Any) -> None:
    if name == "cameras":
        fine = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        expected = "camera names and their topics"
    elif name == "joints":
        fine = isinstance(value, list) and len(value) == 6
        expected = "six joint names"
    else:
        fine, expected = isinstance(value, str), "a text"
    if not fine:
        raise BagError(f"mapping {path}: {name}", got=value, expected=expected)
