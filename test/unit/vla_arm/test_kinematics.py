"""Joint table, kinematics and the two descriptions of the arm agree."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla_arm.errors import ArmError
from vla_arm.joint_table import HOME, L5, X5, ArmModel, get_arm
from vla_arm.kinematics import ArmKinematics, InverseKinematics
from vla_arm.mjcf import arm_spec
from vla_arm.urdf import urdf

ARMS = pytest.mark.parametrize("arm", [X5, L5], ids=lambda arm: arm.name)


def down(yaw: float) -> np.ndarray:
    """Rotation vector of the gripper pointing down [rad]."""
    turned = Rotation.from_euler("z", yaw) * Rotation.from_euler("y", np.pi / 2)
    return turned.as_rotvec()


def random_joints(arm: ArmModel, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(arm.lower, arm.upper, (count, 6))


def by_hand(arm: ArmModel, q: np.ndarray) -> tuple[np.ndarray, Rotation]:
    """Forward kinematics by multiplying the table's frames."""
    position, rotation = np.zeros(3), Rotation.identity()
    for joint, angle in zip(arm.joints, q, strict=True):
        position = position + rotation.apply(joint.origin)
        rotation = rotation * Rotation.from_euler("xyz", joint.rpy)
        rotation = rotation * Rotation.from_rotvec(angle * np.array(joint.axis))
    return position + rotation.apply(arm.eef_offset), rotation


def test_an_unknown_arm_lists_the_known_ones() -> None:
    with pytest.raises(ArmError, match=r"X9.*L5.*X5"):
        get_arm("X9")
    assert get_arm("X5") is X5


def test_forward_kinematics_at_zero_is_the_makers() -> None:
    np.testing.assert_allclose(
        ArmKinematics(X5).forward(np.zeros(6)), [0.2402, 0.0010, 0.1565, 0, 0, 0], atol=1e-4
    )


def test_the_gripper_points_down_at_home() -> None:
    pose = ArmKinematics(X5).forward(HOME)
    np.testing.assert_allclose(pose, [0.30, 0.0, 0.17, 0.0, np.pi / 2, 0.0], atol=2e-4)


@ARMS
def test_forward_kinematics_is_the_product_of_the_tables_frames(arm: ArmModel) -> None:
    kinematics = ArmKinematics(arm)
    for q in random_joints(arm, 100, 0):
        position, rotation = by_hand(arm, q)
        pose = kinematics.forward(q)
        np.testing.assert_allclose(pose[:3], position, atol=1e-9)
        assert (Rotation.from_rotvec(pose[3:]) * rotation.inv()).magnitude() < 1e-7


@ARMS
def test_urdf_and_mjcf_are_one_arm(arm: ArmModel) -> None:
    kinematics = ArmKinematics(arm)
    model = mujoco.MjModel.from_xml_string(urdf(arm))
    data = mujoco.MjData(model)
    addresses = [int(model.joint(joint.name).qposadr[0]) for joint in arm.joints]
    body = model.body("eef_link").id
    for q in random_joints(arm, 1000, 1):
        data.qpos[addresses] = q
        mujoco.mj_kinematics(model, data)
        pose = kinematics.forward(q)
        assert np.linalg.norm(data.xpos[body] - pose[:3]) < 1e-4
        turn = Rotation.from_quat(data.xquat[body], scalar_first=True)
        assert (Rotation.from_rotvec(pose[3:]) * turn.inv()).magnitude() < 1e-4
    masses = [model.body(f"link{index}").mass[0] for index in range(1, 6)]
    np.testing.assert_allclose(masses, [joint.mass for joint in arm.joints[:5]], rtol=1e-6)


def test_urdf_shapes_lie_where_the_mjcfs_do() -> None:
    first, second = arm_spec(X5).compile(), mujoco.MjModel.from_xml_string(urdf(X5))
    for name in ("link1", "link2", "link3", "link4", "link5", "finger_left", "finger_right"):
        one, two = first.body(name), second.body(name)
        np.testing.assert_allclose(two.ipos, one.ipos, atol=1e-6)
        begin, count = int(one.geomadr[0]), int(one.geomnum[0])
        other = int(two.geomadr[0])
        assert int(two.geomnum[0]) == count
        for geom in range(count):
            np.testing.assert_allclose(
                second.geom_pos[other + geom], first.geom_pos[begin + geom], atol=1e-6
            )
            turns = [
                Rotation.from_quat(quat, scalar_first=True)
                for quat in (first.geom_quat[begin + geom], second.geom_quat[other + geom])
            ]
            assert (turns[0] * turns[1].inv()).magnitude() < 1e-5


@ARMS
def test_urdf_states_the_tables_limits(arm: ArmModel) -> None:
    robot = Xml.fromstring(urdf(arm))
    for joint in arm.joints:
        limit = robot.find(f"joint[@name='{joint.name}']/limit")
        assert limit is not None
        stated = [float(limit.get(key, "nan")) for key in ("lower", "upper", "velocity", "effort")]
        assert stated == [joint.lower, joint.upper, joint.velocity, joint.torque]
    assert {link.get("name") for link in robot.findall("link")} >= {"base_link", "eef_link"}


def test_jacobian_is_the_derivative_of_forward_kinematics() -> None:
    kinematics, step = ArmKinematics(X5), 1e-6
    for q in random_joints(X5, 20, 2):
        jacobian, here = kinematics.jacobian(q), kinematics.forward(q)
        for index, offset in enumerate(np.eye(6) * step):
            there = kinematics.forward(q + offset)
            np.testing.assert_allclose(
                (there[:3] - here[:3]) / step, jacobian[:3, index], atol=1e-5
            )
            turn = Rotation.from_rotvec(there[3:]) * Rotation.from_rotvec(here[3:]).inv()
            np.testing.assert_allclose(turn.as_rotvec() / step, jacobian[3:, index], atol=1e-5)


def test_inverse_undoes_forward_from_a_seed_nearby() -> None:
    kinematics, inverse = ArmKinematics(X5), InverseKinematics(X5)
    rng = np.random.default_rng(3)
    for x, y, z, yaw in rng.uniform((0.2, -0.18, 0.01, -0.7), (0.38, 0.18, 0.10, 0.7), (50, 4)):
        pose = np.array([x, y, z, *down(yaw)])
        solution = inverse.solve(pose, HOME)
        assert solution.converged
        assert (solution.q >= X5.lower).all() and (solution.q <= X5.upper).all()
        reached = kinematics.forward(solution.q)
        assert np.linalg.norm(reached[:3] - pose[:3]) <= inverse.position_tolerance
        near = inverse.solve(reached, solution.q + rng.normal(0.0, 0.02, 6))
        np.testing.assert_allclose(near.q, solution.q, atol=5e-3)


def test_out_of_reach_says_how_far_and_stays_in_range() -> None:
    solution = InverseKinematics(X5).solve([1.5, 0.0, 0.2, *down(0.0)], HOME)
    assert not solution.converged and solution.position_error > 0.5
    assert (solution.q >= X5.lower).all() and (solution.q <= X5.upper).all()


def test_inverse_gives_same_bytes_for_the_same_question() -> None:
    pose = [0.33, 0.07, 0.06, *down(0.3)]
    inverse = InverseKinematics(X5)
    first = inverse.solve(pose, HOME)
    inverse.solve([0.25, -0.1, 0.1, *down(-0.5)], HOME)
    assert inverse.solve(pose, HOME).q.tobytes() == first.q.tobytes()
    assert InverseKinematics(X5).solve(pose, HOME).q.tobytes() == first.q.tobytes()


def test_wrong_shapes_are_errors() -> None:
    with pytest.raises(ArmError, match=r"shape \(7,\)"):
        ArmKinematics(X5).forward(np.zeros(7))
    with pytest.raises(ArmError, match="pose"):
        InverseKinematics(X5).solve(np.full(6, np.nan), HOME)
