"""The arm as a URDF, for robot_state_publisher, RViz, ros2_control and MoveIt.

Frames, axes and limits are the joint table's; shapes and inertias are those of the MuJoCo model, so
that both descriptions are one arm.
"""

from __future__ import annotations

import math
from xml.etree import ElementTree as Xml

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import ArmModel, Joint
from vla_arm.mjcf import CAMERA_FOVY, CAMERA_POSITION, CAMERA_TARGET, GRIP_FORCE, arm_spec

FINGER_SPEED = 0.2
"""Largest speed of a finger that the description states [m/s]."""


def urdf(arm: ArmModel) -> str:
    """Write the arm as a URDF.

    Links ``base_link``, ``link1`` to ``link6``, ``eef_link``, ``finger_left``, ``finger_right``;
    ``finger_right`` mimics ``finger_left``.

    Args:
        arm: the arm's numbers.

    Returns:
        The document.
    """
    model: mujoco.MjModel = arm_spec(arm).compile()
    robot = Xml.Element("robot", name=f"arx5_{arm.name.lower()}")
    # MuJoCo would else merge links that cannot move, eef_link among them.
    Xml.SubElement(Xml.SubElement(robot, "mujoco"), "compiler", fusestatic="false")
    _add_link(robot, model, "base_link")
    parent = "base_link"
    for index, joint in enumerate(arm.joints):
        child = f"link{index + 1}"
        _add_link(robot, model, child)
        _add_revolute(robot, joint, parent, child)
        parent = child
    Xml.SubElement(robot, "link", name="eef_link")
    _add_joint(robot, "eef_joint", "fixed", parent, "eef_link", arm.eef_offset)
    for name, sign in (("finger_left", 1.0), ("finger_right", -1.0)):
        _add_link(robot, model, name)
        _add_finger(robot, arm, name, sign, parent)
    Xml.indent(robot)
    return Xml.tostring(robot, encoding="unicode", xml_declaration=True) + "\n"


def control_urdf(arm: ArmModel, plugin: str, controllers: str) -> str:
    """Write the arm as a URDF with ros2_control tags, for Gazebo.

    Args:
        arm: the arm's numbers.
        plugin: the hardware, e.g. ``gz_ros2_control/GazeboSimSystem``.
        controllers: path of the controllers' parameter file.

    Returns:
        The document: position commands, position and velocity states of each joint and of
        ``finger_left``, on a base that is fixed to the link ``world``.
    """
    robot = Xml.fromstring(urdf(arm).encode())
    Xml.SubElement(robot, "link", name="world")
    _add_joint(robot, "world_joint", "fixed", "world", "base_link", (0.0, 0.0, 0.0))
    control = Xml.SubElement(robot, "ros2_control", name=arm.name, type="system")
    Xml.SubElement(Xml.SubElement(control, "hardware"), "plugin").text = plugin
    for joint in arm.joints:
        _add_interfaces(control, joint.name, joint.lower, joint.upper)
    _add_interfaces(control, "finger_left", 0.0, arm.gripper_max / 2)
    gazebo = Xml.SubElement(robot, "gazebo")
    system = Xml.SubElement(
        gazebo,
        "plugin",
        filename="gz_ros2_control-system",
        name="gz_ros2_control::GazeboSimROS2ControlPlugin",
    )
    Xml.SubElement(system, "parameters").text = controllers
    _add_wrist_camera(robot)
    Xml.indent(robot)
    return Xml.tostring(robot, encoding="unicode", xml_declaration=True) + "\n"


def _add_wrist_camera(robot: Xml.Element) -> None:
    """Gazebo's sensor at the MuJoCo model's wrist camera; Gazebo's cameras look along x."""
    way = np.subtract(CAMERA_TARGET, CAMERA_POSITION)
    pitch = math.atan2(-way[2], math.hypot(way[0], way[1]))
    gazebo = Xml.SubElement(robot, "gazebo", reference="link6")
    sensor = Xml.SubElement(gazebo, "sensor", name="wrist", type="camera")
    pose = (*CAMERA_POSITION, 0.0, pitch, math.atan2(way[1], way[0]))
    for tag, value in (
        ("pose", _text(pose)),
        ("topic", "camera/wrist/image_raw"),
        ("update_rate", "10"),
    ):
        Xml.SubElement(sensor, tag).text = value
    camera = Xml.SubElement(sensor, "camera")
    Xml.SubElement(camera, "horizontal_fov").text = _text([math.radians(CAMERA_FOVY)])
    image = Xml.SubElement(camera, "image")
    for tag, value in (("width", "96"), ("height", "96"), ("format", "R8G8B8")):
        Xml.SubElement(image, tag).text = value


def _add_interfaces(control: Xml.Element, name: str, lower: float, upper: float) -> None:
    joint = Xml.SubElement(control, "joint", name=name)
    command = Xml.SubElement(joint, "command_interface", name="position")
    for bound, value in (("min", lower), ("max", upper)):
        Xml.SubElement(command, "param", name=bound).text = _text([value])
    for state in ("position", "velocity"):
        Xml.SubElement(joint, "state_interface", name=state)


def _add_revolute(robot: Xml.Element, joint: Joint, parent: str, child: str) -> None:
    element = _add_joint(robot, joint.name, "revolute", parent, child, joint.origin, joint.rpy)
    Xml.SubElement(element, "axis", xyz=_text(joint.axis))
    Xml.SubElement(
        element,
        "limit",
        lower=_text([joint.lower]),
        upper=_text([joint.upper]),
        effort=_text([joint.torque]),
        velocity=_text([joint.velocity]),
    )


def _add_finger(robot: Xml.Element, arm: ArmModel, name: str, sign: float, parent: str) -> None:
    origin = (arm.finger_origin[0], 0.0, 0.0)
    element = _add_joint(robot, name, "prismatic", parent, name, origin)
    Xml.SubElement(element, "axis", xyz=_text((0.0, sign, 0.0)))
    Xml.SubElement(
        element,
        "limit",
        lower="0",
        upper=_text([arm.gripper_max / 2]),
        effort=_text([GRIP_FORCE]),
        velocity=_text([FINGER_SPEED]),
    )
    if name == "finger_right":
        Xml.SubElement(element, "mimic", joint="finger_left", multiplier="1", offset="0")


def _add_joint(
    robot: Xml.Element,
    name: str,
    kind: str,
    parent: str,
    child: str,
    origin: tuple[float, float, float],
    rpy: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Xml.Element:
    element = Xml.SubElement(robot, "joint", name=name, type=kind)
    Xml.SubElement(element, "parent", link=parent)
    Xml.SubElement(element, "child", link=child)
    Xml.SubElement(element, "origin", xyz=_text(origin), rpy=_text(rpy))
    return element


def _add_link(robot: Xml.Element, model: mujoco.MjModel, name: str) -> None:
    """Add a link with the mass, inertia and shapes of the model's body of that name."""
    link = Xml.SubElement(robot, "link", name=name)
    body = model.body(name)
    inertial = Xml.SubElement(link, "inertial")
    _add_origin(inertial, body.ipos, body.iquat)
    Xml.SubElement(inertial, "mass", value=_text(body.mass))
    ixx, iyy, izz = body.inertia
    values = {"ixx": ixx, "iyy": iyy, "izz": izz, "ixy": 0.0, "ixz": 0.0, "iyz": 0.0}
    Xml.SubElement(inertial, "inertia", {key: _text([value]) for key, value in values.items()})
    first = int(body.geomadr[0])
    for geom in range(first, first + int(body.geomnum[0])):
        for tag in ("visual", "collision"):
            shape = Xml.SubElement(link, tag)
            _add_origin(shape, model.geom_pos[geom], model.geom_quat[geom])
            _add_geometry(Xml.SubElement(shape, "geometry"), model, geom)
            if tag == "visual":
                material = Xml.SubElement(shape, "material", name=f"{name}_{geom}")
                Xml.SubElement(material, "color", rgba=_text(model.geom_rgba[geom]))


def _add_geometry(parent: Xml.Element, model: mujoco.MjModel, geom: int) -> None:
    """Add a shape; URDF has no capsule, so that becomes a cylinder of its full length."""
    size, kind = model.geom_size[geom], model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        Xml.SubElement(parent, "box", size=_text(2 * size))
        return
    rounded = size[0] if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
    length = 2 * (size[1] + rounded)
    Xml.SubElement(parent, "cylinder", radius=_text(size[:1]), length=_text([length]))


def _add_origin(parent: Xml.Element, position: np.ndarray, quaternion: np.ndarray) -> None:
    Xml.SubElement(parent, "origin", xyz=_text(position), rpy=_text(_rpy(quaternion)))


def _rpy(quaternion: np.ndarray) -> tuple[float, float, float]:
    """Roll, pitch, yaw about fixed axes [rad]; where they are not unique, yaw is zero."""
    m = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
    if abs(m[2, 0]) > 1.0 - 1e-12:
        return math.atan2(-m[1, 2], m[1, 1]), math.copysign(math.pi / 2, -m[2, 0]), 0.0
    return (
        math.atan2(m[2, 1], m[2, 2]),
        math.asin(-m[2, 0]),
        math.atan2(m[1, 0], m[0, 0]),
    )


def _text(numbers: np.ndarray | list[float] | tuple[float, ...]) -> str:
    """Numbers as XML text: enough digits for a tenth of a micrometre over a metre of links."""
    return " ".join(f"{float(number):.10g}" for number in numbers)
