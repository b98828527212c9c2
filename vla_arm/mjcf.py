"""The arm as a MuJoCo model of primitive geoms, generated from the joint table.

Position servos stand for the drives; gravity is compensated, as the arm's own controller does. The
fingers slide; they hold by contact and friction alone.
"""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import ArmModel, Joint, Vector

Capsule = tuple[Vector, Vector, float]
"""From, to, radius [m]."""
_GEOM = mujoco.mjtGeom
DARK = (0.16, 0.16, 0.18, 1.0)
METAL = (0.42, 0.43, 0.46, 1.0)
PAD = (0.95, 0.45, 0.75, 1.0)
"""Colour of the finger pads: no object of a scene has it."""
STIFFNESS = (1500.0, 2500.0, 1500.0, 400.0, 250.0, 100.0)
"""Position gain of each joint's servo [Nm/rad]."""
SERVO_LAG = 0.02
"""Velocity gain over position gain: how far a servo trails a moving target [s]."""
ARMATURE = (0.05, 0.05, 0.03, 0.02, 0.01, 0.005)
"""Inertia of each joint's rotor, felt at the link [kg m^2]."""
GRIP_FORCE = 15.0
"""Largest force of the gripper's servo [N]."""
PAD_HALF = (0.016, 0.003, 0.011)
"""Half extents of a finger pad: along the finger, through it, across it [m]."""
PAD_BEYOND_TOOL = 0.012
"""How far the pads reach beyond the tool point [m]."""
FINGER_MASS = 0.03
"""Of one finger [kg]."""
CAMERA_POSITION = (0.04, 0.0, 0.085)
"""Wrist camera in the last link [m]: on its upper side when the gripper points forward."""
CAMERA_TARGET = (0.165, 0.0, 0.012)
"""Point of the last link that the wrist camera looks at [m]."""
CAMERA_FOVY = 75.0
"""Vertical field of view of the wrist camera [deg]."""

# Neighbours overlap: links meet in their joints, the wrist is compact, closed fingers touch.
_NEIGHBOURS = (
    ("base_link", "link1"),
    ("base_link", "link2"),
    ("link1", "link2"),
    ("link2", "link3"),
    ("link3", "link4"),
    ("link3", "link5"),
    ("link4", "link5"),
    ("link4", "link6"),
    ("link5", "link6"),
    ("link6", "finger_left"),
    ("link6", "finger_right"),
    ("finger_left", "finger_right"),
)


def arm_spec(arm: ArmModel) -> mujoco.MjSpec:
    """Build the arm alone, its base at the world's origin.

    Bodies ``base_link``, ``link1`` to ``link6``, ``eef_link``, ``finger_left``, ``finger_right``;
    joints ``joint1`` to ``joint6`` [rad] and the slides ``finger_left`` and ``finger_right`` [m];
    position servos ``joint1`` to ``joint6`` [rad] and ``gripper``, whose control is the distance
    between the pads [m]; site ``eef_link`` at the tool point, between the pads; camera ``wrist``.

    Args:
        arm: the arm's numbers.

    Returns:
        A specification that others may add bodies to before they compile it.
    """
    spec = mujoco.MjSpec()
    spec.modelname = arm.name
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # An elliptic cone with stiff friction: what is gripped does not creep out of the fingers.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    body = spec.worldbody.add_body(name="base_link")
    body.add_geom(
        name="base",
        type=_GEOM.mjGEOM_CYLINDER,
        pos=(0.0, 0.0, 0.03),
        size=(0.055, 0.03, 0.0),
        mass=arm.base_mass,
        rgba=DARK,
    )
    for index, (joint, capsules) in enumerate(zip(arm.joints, _capsules(arm), strict=True)):
        body = _add_link(spec, body, index, joint, capsules)
    _add_palm(body, arm)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _add_finger(body, arm, side, sign)
    _add_gripper_servo(spec, arm)
    for first, second in _NEIGHBOURS:
        spec.add_exclude(bodyname1=first, bodyname2=second)
    return spec


def _capsules(arm: ArmModel) -> tuple[tuple[Capsule, ...], ...]:
    """Each link's capsules in its frame; the long ones end where the next joint is."""
    _, _, elbow, wrist, turn, _ = (joint.origin for joint in arm.joints)
    bend = (0.04, 0.0, wrist[2])
    return (
        (((0.0, 0.0, 0.0), (0.02, 0.0, 0.035), 0.034),),
        (((0.0, 0.0, 0.0), elbow, 0.026),),
        (((0.0, 0.0, 0.0), bend, 0.024), (bend, wrist, 0.022)),
        (((0.0, 0.0, 0.0), (turn[0], turn[1], 0.0), 0.022),),
        (((0.0, 0.0, 0.065), (0.0, 0.0, 0.10), 0.022),),
        (((0.0, 0.0, 0.0), (0.03, 0.0, 0.0), 0.022),),
    )


def _add_link(
    spec: mujoco.MjSpec,
    parent: mujoco.MjsBody,
    index: int,
    joint: Joint,
    capsules: tuple[Capsule, ...],
) -> mujoco.MjsBody:
    """Add a link, its hinge and its servo."""
    name = f"link{index + 1}"
    quaternion = Rotation.from_euler("xyz", joint.rpy).as_quat(scalar_first=True)
    body = parent.add_body(name=name, pos=joint.origin, quat=quaternion, gravcomp=1.0)
    body.add_joint(
        name=joint.name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=joint.axis,
        range=(joint.lower, joint.upper),
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        armature=ARMATURE[index],
    )
    for part, (start, end, radius) in enumerate(capsules):
        body.add_geom(
            name=f"{name}_{part}",
            type=_GEOM.mjGEOM_CAPSULE,
            fromto=(*start, *end),
            size=(radius, 0.0, 0.0),
            mass=joint.mass / len(capsules),
            rgba=METAL if index in (1, 2) else DARK,
        )
    servo = spec.add_actuator(
        name=joint.name,
        target=joint.name,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        ctrlrange=(joint.lower, joint.upper),
        ctrllimited=mujoco.mjtLimited.mjLIMITED_TRUE,
        forcerange=(-joint.torque, joint.torque),
        forcelimited=mujoco.mjtLimited.mjLIMITED_TRUE,
    )
    servo.set_to_position(kp=STIFFNESS[index], kv=STIFFNESS[index] * SERVO_LAG)
    return body


def _add_palm(wrist: mujoco.MjsBody, arm: ArmModel) -> None:
    """Add the palm, the tool point and the wrist camera to the last link."""
    wrist.add_geom(
        name="palm",
        type=_GEOM.mjGEOM_BOX,
        pos=(arm.finger_origin[0] - 0.0216, 0.0, 0.0),
        size=(0.0216, 0.042, 0.014),
        mass=0.0,
        rgba=DARK,
    )
    eef = wrist.add_body(name="eef_link", pos=arm.eef_offset)
    eef.add_site(name="eef_link", size=(0.004, 0.004, 0.004), group=4)
    wrist.add_camera(
        name="wrist",
        pos=CAMERA_POSITION,
        quat=look_along(np.subtract(CAMERA_TARGET, CAMERA_POSITION)),
        fovy=CAMERA_FOVY,
    )


def _add_finger(wrist: mujoco.MjsBody, arm: ArmModel, side: str, sign: float) -> None:
    """Add one finger: the shank stands back from the pad, so that only pads touch what is held."""
    tip = arm.eef_offset[0] + PAD_BEYOND_TOOL - arm.finger_origin[0]
    shank = tip / 2 - PAD_HALF[0]
    finger = wrist.add_body(
        name=f"finger_{side}", pos=(arm.finger_origin[0], 0.0, 0.0), gravcomp=1.0
    )
    finger.add_joint(
        name=f"finger_{side}",
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=(0.0, sign, 0.0),
        range=(0.0, arm.gripper_max / 2),
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        armature=0.05,
        damping=2.0,
    )
    finger.add_geom(
        name=f"pad_{side}",
        type=_GEOM.mjGEOM_BOX,
        pos=(tip - PAD_HALF[0], sign * PAD_HALF[1], 0.0),
        size=PAD_HALF,
        mass=FINGER_MASS / 2,
        rgba=PAD,
        condim=4,
        friction=(1.5, 0.02, 0.001),
        priority=1,
        # Stiff, so that the grip's force does not sink the pads into what they hold.
        solref=(0.004, 1.0),
        solimp=(0.95, 0.99, 0.001, 0.5, 2.0),
    )
    finger.add_geom(
        name=f"shank_{side}",
        type=_GEOM.mjGEOM_BOX,
        pos=(shank, sign * 0.010, 0.0),
        size=(shank, 0.004, 0.008),
        mass=FINGER_MASS / 2,
        rgba=METAL,
    )


def _add_gripper_servo(spec: mujoco.MjSpec, arm: ArmModel) -> None:
    """Couple the fingers and drive them by the distance between the pads."""
    mirror = spec.add_equality(
        name="fingers",
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1="finger_left",
        name2="finger_right",
        solref=(0.01, 1.0),
    )
    mirror.data[:5] = (0.0, 1.0, 0.0, 0.0, 0.0)
    opening = spec.add_tendon(name="opening")
    opening.wrap_joint("finger_left", 1.0)
    opening.wrap_joint("finger_right", 1.0)
    servo = spec.add_actuator(
        name="gripper",
        target="opening",
        trntype=mujoco.mjtTrn.mjTRN_TENDON,
        ctrlrange=(0.0, arm.gripper_max),
        ctrllimited=mujoco.mjtLimited.mjLIMITED_TRUE,
        forcerange=(-GRIP_FORCE, GRIP_FORCE),
        forcelimited=mujoco.mjtLimited.mjLIMITED_TRUE,
    )
    servo.set_to_position(kp=1500.0, kv=30.0)


def look_along(direction: np.ndarray) -> np.ndarray:
    """Quaternion of a camera (it looks along its -z, +y up) that looks along ``direction``."""
    back = -direction / np.linalg.norm(direction)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    axes = np.column_stack((right, np.cross(back, right), back))
    return Rotation.from_matrix(axes).as_quat(scalar_first=True)
