"""One arm in all descriptions: MJCF, URDF in MuJoCo and pinocchio, and the vendor's own solver."""

import platform
from xml.etree import ElementTree

import mujoco
import numpy as np
import pinocchio
import pytest
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import L5, X5
from vla_arm.kinematics import ArmKinematics
from vla_arm.urdf import control_urdf, urdf

CONFIGURATIONS = 1000
TOLERANCE = 1e-4
"""0.1 mm; of rotations 0.1 mrad."""


def configurations(arm):
    return np.random.default_rng(0).uniform(arm.lower, arm.upper, (CONFIGURATIONS, 6))


def mjcf(arm):
    kinematics = ArmKinematics(arm)
    return np.array([kinematics.forward(q)[:3] for q in configurations(arm)])


@pytest.mark.parametrize("arm", [X5, L5], ids=lambda arm: arm.name)
@pytest.mark.parametrize("kind", ["plain", "gazebo"])
def test_mujoco_loads_the_urdf_and_agrees(arm, kind):
    document = urdf(arm) if kind == "plain" else control_urdf(arm, "a/B", "c.yaml")
    model = mujoco.MjModel.from_xml_string(document)
    data = mujoco.MjData(model)
    places = [int(model.joint(name).qposadr[0]) for name in arm.joint_names]
    found = []
    for q in configurations(arm):
        data.qpos[places] = q
        mujoco.mj_kinematics(model, data)
        found.append(data.body("eef_link").xpos.copy())
    assert np.abs(np.array(found) - mjcf(arm)).max() < TOLERANCE


@pytest.mark.parametrize("arm", [X5, L5], ids=lambda arm: arm.name)
def test_pinocchio_loads_the_urdf_and_agrees(arm):
    model = pinocchio.buildModelFromXML(control_urdf(arm, "a/B", "c.yaml"))
    data = model.createData()
    frame = model.getFrameId("eef_link")
    q = pinocchio.neutral(model)
    found = []
    for joints in configurations(arm):
        for name, angle in zip(arm.joint_names, joints, strict=True):
            q[model.joints[model.getJointId(name)].idx_q] = angle
        pinocchio.framesForwardKinematics(model, data, q)
        found.append(data.oMf[frame].translation.copy())
    assert np.abs(np.array(found) - mjcf(arm)).max() < TOLERANCE


@pytest.mark.skipif(platform.machine() != "x86_64", reason="arx5-interface is x86-64 only")
@pytest.mark.parametrize("arm", [X5, L5], ids=lambda arm: arm.name)
def test_the_vendors_solver_and_limits_agree(arm):
    import arx5_interface as arx5

    robot = arx5.RobotConfigFactory.get_instance().get_config(arm.name)
    solver = arx5.Arx5Solver(
        robot.urdf_path,
        6,
        robot.joint_pos_min,
        robot.joint_pos_max,
        robot.base_link_name,
        robot.eef_link_name,
        robot.gravity_vector,
    )
    found = np.array([solver.forward_kinematics(q) for q in configurations(arm)])
    kinematics = ArmKinematics(arm)
    ours = np.array([kinematics.forward(q) for q in configurations(arm)])
    assert np.abs(found[:, :3] - ours[:, :3]).max() < TOLERANCE
    turned = Rotation.from_euler("xyz", found[:, 3:]).inv() * Rotation.from_rotvec(ours[:, 3:])
    assert turned.magnitude().max() < TOLERANCE
    assert np.allclose((robot.joint_pos_min, robot.joint_pos_max), (arm.lower, arm.upper))
    assert np.allclose(robot.joint_vel_max, arm.velocity)
    assert np.allclose(robot.joint_torque_max, [joint.torque for joint in arm.joints])
    assert robot.gripper_width == pytest.approx(arm.gripper_max)


def test_ros2_control_names_every_joint_with_the_tables_limits():
    robot = ElementTree.fromstring(control_urdf(X5, "a/B", "c.yaml").encode())
    control = robot.find("ros2_control")
    joints = {joint.get("name"): joint for joint in control.findall("joint")}
    assert list(joints) == [*X5.joint_names, "finger_left"]
    for row in X5.joints:
        bounds = {p.get("name"): float(p.text) for p in joints[row.name].iter("param")}
        assert bounds == {"min": row.lower, "max": row.upper}
        limit = robot.find(f"joint[@name='{row.name}']/limit")
        assert float(limit.get("velocity")) == row.velocity
        assert float(limit.get("effort")) == row.torque
