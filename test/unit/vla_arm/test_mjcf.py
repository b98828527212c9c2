"""The simulated arm follows its servos and holds things by friction alone."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla_arm.controller import EndEffectorController
from vla_arm.joint_table import HOME, L5, X5, ArmModel
from vla_arm.limits import ArmLimits
from vla_arm.mjcf import arm_spec

DT, SUBSTEPS = 0.02, 10
OPEN = 0.08
CUBE = 0.035
DOWN = (0.0, np.pi / 2, 0.0)


class Bench:
    """The arm over a table with one cube of 35 mm and 40 g."""

    def __init__(self) -> None:
        spec = arm_spec(X5)
        box = mujoco.mjtGeom.mjGEOM_BOX
        spec.worldbody.add_geom(type=box, pos=(0.35, 0, -0.02), size=(0.5, 0.5, 0.02))
        cube = spec.worldbody.add_body(name="cube", pos=(0.32, 0.05, CUBE / 2))
        cube.add_freejoint()
        cube.add_geom(type=box, size=(CUBE / 2,) * 3, mass=0.04, friction=(1.0, 0.01, 0.0005))
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(f"joint{index}").id for index in range(1, 7)]
        self.qpos = self.model.jnt_qposadr[joints]
        self.servos = [self.model.actuator(f"joint{index}").id for index in range(1, 7)]
        self.fingers = [
            int(self.model.joint(name).qposadr[0]) for name in ("finger_left", "finger_right")
        ]
        self.gripper = self.model.actuator("gripper").id
        self.data.qpos[self.qpos] = HOME
        self.data.qpos[self.fingers] = OPEN / 2
        self.send(HOME, OPEN)
        mujoco.mj_forward(self.model, self.data)
        self.controller = EndEffectorController(X5, ArmLimits(), DT)
        self.controller.reset(HOME, OPEN)
        self.goal = self.controller.commanded_pose()

    def send(self, q: np.ndarray, gripper: float) -> None:
        self.data.ctrl[self.servos], self.data.ctrl[self.gripper] = q, gripper

    def opening(self) -> float:
        return float(self.data.qpos[self.fingers].sum())

    def tool(self) -> np.ndarray:
        return self.data.site("eef_link").xpos.copy()

    def cube(self) -> np.ndarray:
        return self.data.body("cube").xpos.copy()

    def go(self, position: tuple, yaw: float, gripper: float, speed: float = 0.3) -> None:
        """Move straight at ``speed`` [m/s], then wait until the fingers have come to rest."""
        turn = Rotation.from_euler("z", yaw) * Rotation.from_rotvec(DOWN)
        goal = np.array([*position, *turn.as_rotvec(), gripper])
        ticks = max(int(np.linalg.norm(goal[:3] - self.goal[:3]) / (speed * DT)), 1)
        for tick in range(1, ticks + 25):
            share = min(tick / ticks, 1.0)
            target = self.goal + share * (goal - self.goal)
            command = self.controller.command(target, 0.0, 0.0)
            assert command.accepted, command.reason
            self.send(command.positions, command.gripper)
            mujoco.mj_step(self.model, self.data, SUBSTEPS)
        self.goal = goal


@pytest.mark.parametrize(("arm", "mass"), [(X5, 3.52), (L5, 3.66)], ids=["X5", "L5"])
def test_names_that_others_rely_on(arm: ArmModel, mass: float) -> None:
    model = arm_spec(arm).compile()
    names = [f"joint{index}" for index in range(1, 7)]
    assert [model.joint(index).name for index in range(6)] == names
    assert [model.actuator(index).name for index in range(7)] == [*names, "gripper"]
    for body in ("base_link", *(f"link{index}" for index in range(1, 7)), "eef_link"):
        assert model.body(body).id > 0
    assert model.site("eef_link").id >= 0 and model.camera("wrist").id >= 0
    links = [f"link{index}" for index in range(1, 7)]
    total = sum(float(model.body(name).mass[0]) for name in ("base_link", *links))
    assert total == pytest.approx(mass, abs=0.01)


def test_the_arm_stands_still_without_droop() -> None:
    bench = Bench()
    before = bench.tool()
    mujoco.mj_step(bench.model, bench.data, 500)
    np.testing.assert_allclose(bench.tool(), before, atol=1e-4)
    assert bench.opening() == pytest.approx(OPEN, abs=5e-4)


@pytest.mark.parametrize("joint", range(6))
def test_servos_follow_a_ramp_within_30_ms_and_do_not_ring(joint: int) -> None:
    bench = Bench()
    speed, q = 0.5, HOME.copy()
    for _ in range(20):
        q[joint] += speed * DT
        bench.send(q, OPEN)
        mujoco.mj_step(bench.model, bench.data, SUBSTEPS)
    # The target is a staircase of one control tick; the lag is taken from its middle.
    lag = abs(q[joint] - bench.data.qpos[bench.qpos[joint]]) / speed
    assert lag < 0.03
    peak = 0.0
    for _ in range(100):
        mujoco.mj_step(bench.model, bench.data)
        peak = max(peak, bench.data.qpos[bench.qpos[joint]] - q[joint])
    assert peak < 0.05 * speed * 20 * DT
    assert bench.data.qpos[bench.qpos[joint]] == pytest.approx(q[joint], abs=1e-3)


def test_a_cube_is_lifted_and_carried_by_friction_without_slip() -> None:
    bench = Bench()
    at = (0.32, 0.05)
    bench.go((*at, 0.10), 0.0, OPEN)
    bench.go((*at, CUBE / 2), 0.0, OPEN)
    bench.go((*at, CUBE / 2), 0.0, 0.0)
    assert bench.opening() == pytest.approx(CUBE, abs=1.5e-3)
    grip = bench.cube() - bench.tool()
    bench.go((*at, 0.12), 0.0, 0.0)
    bench.go((0.25, -0.15, 0.12), 0.0, 0.0)
    bench.go((0.38, 0.15, 0.10), 0.0, 0.0)
    np.testing.assert_allclose(bench.cube() - bench.tool(), grip, atol=2e-3)
    bench.go((0.38, 0.15, 0.02), 0.0, 0.0)
    bench.go((0.38, 0.15, 0.02), 0.0, OPEN)
    bench.go((0.38, 0.15, 0.12), 0.0, OPEN)
    assert bench.cube()[2] == pytest.approx(CUBE / 2, abs=1e-3)
    np.testing.assert_allclose(bench.cube()[:2], (0.38, 0.15), atol=5e-3)


def test_the_gripper_closes_in_less_than_half_a_second() -> None:
    bench = Bench()
    bench.send(HOME, 0.0)
    mujoco.mj_step(bench.model, bench.data, round(0.45 / bench.model.opt.timestep))
    assert bench.opening() < 2e-3
