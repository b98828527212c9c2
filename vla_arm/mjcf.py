"""The arm as a MuJoCo model of primitive geoms, generated from the joint table.

Position servos stand for the drives, links are free of gravity as the SDK compensates it. The
fingers slide; they hold by contact and friction alone.
"""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import ArmModel, Joint

LINK_RGBA = (0.25, 0.25, 0.28, 1.0)
HAND_RGBA = (0.18, 0.18, 0.20, 1.0)
PAD_RGBA = (0.12, 0.12, 0.12, 1.0)
STIFFNESS = (900.0, 900.0, 900.0, 300.0, 180.0, 120.0)
"""Position gain of each joint's servo [Nm/rad]."""
DAMPING_TIME = 0.04
"""Velocity gain over position gain: the tracking lag [s]."""
GRIPPER_FORCE = 15.0
"""Largest closing force [N]."""
ARM_GROUP_CONTACT = 0
"""Arm links do not collide in the simulation; the safety gate checks them by itself."""


def arm_spec(arm: ArmModel) -> mujoco.MjSpec:
    """The arm alone, its base at the origin.

    Returns:
        A spec with joints ``joint1`` to ``joint6``, ``finger_left`` and ``finger_right`` [m],
        actuators ``joint1`` to ``joint6`` (target position [rad]) and ``gripper`` (opening [m]),
        body ``eef_link`` with a site of that name between the finger pads, and camera ``wrist``.
    """
    spec = mujoco.MjSpec()
    spec.modelname = arm.name
    spec.compiler.degree = False
    spec.compiler.autolimits = True
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    body = spec.worldbody.add_body(name="base_link", mass=arm.base_mass)
    body.add_geom(
        name="base",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=(0.05, 0.03, 0.0),
        pos=(0.0, 0.0, 0.03),
        mass=arm.base_mass,
        rgba=LINK_RGBA,
        contype=ARM_GROUP_CONTACT,
        conaffinity=ARM_GROUP_CONTACT,
    )
    ends = [joint.origin for joint in arm.joints[1:]] + [(0.06, 0.0, 0.0)]
    for index, (joint, end) in enumerate(zip(arm.joints, ends, strict=True)):
        body = _add_link(spec, body, index, joint, end)
    _add_hand(spec, body, arm)
    return spec


def _add_link(
    spec: mujoco.MjSpec,
    parent: mujoco.MjsBody,
    index: int,
    joint: Joint,
    end: tuple[float, float, float],
) -> mujoco.MjsBody:
    quaternion = Rotation.from_euler("xyz", joint.rpy).as_quat(scalar_first=True)
    body = parent.add_body(name=f"link{index + 1}", pos=joint.origin, quat=quaternion, gravcomp=1.0)
    body.add_joint(
        name=joint.name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=joint.axis,
        range=(joint.lower, joint.upper),
        armature=0.02,
        damping=0.5,
    )
    body.add_geom(
        name=f"link{index + 1}",
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=(0.0, 0.0, 0.0, *end),
        size=(0.025, 0.0, 0.0),
        mass=joint.mass,
        rgba=LINK_RGBA,
        contype=ARM_GROUP_CONTACT,
        conaffinity=ARM_GROUP_CONTACT,
    )
    servo = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=STIFFNESS[index], kv=STIFFNESS[index] * DAMPING_TIME)
    servo.forcerange = (-joint.torque, joint.torque)
    servo.forcelimited = True
    servo.ctrlrange = (joint.lower, joint.upper)
    return body


def _add_hand(spec: mujoco.MjSpec, link: mujoco.MjsBody, arm: ArmModel) -> None:
    link.add_geom(
        name="hand",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(0.02, 0.05, 0.015),
        pos=(arm.finger_origin[0] - 0.0166, 0.0, 0.0),
        mass=0.05,
        rgba=HAND_RGBA,
        contype=ARM_GROUP_CONTACT,
        conaffinity=ARM_GROUP_CONTACT,
    )
    eef = link.add_body(name="eef_link", pos=arm.eef_offset, gravcomp=1.0)
    eef.add_site(name="eef_link", rgba=(0.0, 0.0, 0.0, 0.0))
    length = (arm.eef_offset[0] - arm.finger_origin[0] + 0.0096) / 2
    for name, sign in (("finger_left", 1.0), ("finger_right", -1.0)):
        finger = link.add_body(name=name, pos=(arm.finger_origin[0], 0.0, 0.0), gravcomp=1.0)
        finger.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=(0.0, sign, 0.0),
            range=(0.0, arm.gripper_max / 2),
            armature=0.05,
            damping=5.0,
        )
        finger.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(length, 0.004, 0.009),
            pos=(length, sign * 0.004, 0.0),
            mass=0.03,
            rgba=PAD_RGBA,
            friction=(1.5, 0.02, 0.001),
            condim=4,
        )
    mirror = spec.add_equality(name="fingers", type=mujoco.mjtEq.mjEQ_JOINT)
    mirror.name1, mirror.name2 = "finger_left", "finger_right"
    mirror.data[:5] = (0.0, 1.0, 0.0, 0.0, 0.0)
    opening = spec.add_tendon(name="opening")
    opening.wrap_joint("finger_left", 1.0)
    opening.wrap_joint("finger_right", 1.0)
    servo = spec.add_actuator(name="gripper", target="opening", trntype=mujoco.mjtTrn.mjTRN_TENDON)
    servo.set_to_position(kp=400.0, kv=30.0)
    servo.forcerange = (-GRIPPER_FORCE, GRIPPER_FORCE)
    servo.forcelimited = True
    servo.ctrlrange = (0.0, arm.gripper_max)
    _add_wrist_camera(link, arm)


def _add_wrist_camera(link: mujoco.MjsBody, arm: ArmModel) -> None:
    """Above the hand, looking at the point between the finger pads."""
    position = np.array([0.02, 0.0, 0.07])
    forward = np.array(arm.eef_offset) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(right, forward), -forward], axis=1)
    link.add_camera(
        name="wrist",
        pos=position,
        quat=Rotation.from_matrix(axes).as_quat(scalar_first=True),
        fovy=75.0,
    )
