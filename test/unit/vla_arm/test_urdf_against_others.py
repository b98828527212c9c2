"""One arm in all descriptions: MJCF, URDF in MuJoCo and pinocchio, and the vendor's own solver."""

from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from vla_arm.joint_table import L5, X5
from vla_arm.kinematics import ArmKinematics
from vla_arm.urdf import control_urdf, urdf

CONFIGURATIONS = 1000
TOLERANCE = 1e-4
"""0.1 mm."""


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
    pinocchio = pytest.importorskip("pinocchio")
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


def test_the_vendors_solver_agrees():
    arx5 = pytest.importorskip("arx5_interface")
    robot = arx5.RobotConfigFactory.get_instance().get_config("X5")
    solver = arx5.Arx5Solver(
        robot.urdf_path,
        6,
        robot.joint_pos_min,
        robot.joint_pos_max,
        robot.base_link_name,
        robot.eef_link_name,
        robot.gravity_vector,
    )
    found = np.array([solver.forward_kinematics(q)[:3] for q in configurations(X5)])
    assert np.abs(found - mjcf(X5)).max() < TOLERANCE


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
