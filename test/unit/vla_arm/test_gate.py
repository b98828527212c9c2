"""Laws of the safety gate and the controller around it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_arm.collision import CollisionModel
from vla_arm.command import JointCommand, Reason
from vla_arm.controller import EndEffectorController
from vla_arm.errors import ArmError
from vla_arm.joint_table import HOME, X5
from vla_arm.kinematics import ArmKinematics
from vla_arm.limits import ArmLimits

DT = 0.02
LIMITS = ArmLimits()
KINEMATICS = ArmKinematics(X5)
COLLISION = CollisionModel(X5, LIMITS.table_z, LIMITS.table_margin)
SHARED = EndEffectorController(X5, LIMITS, DT)
OPEN = 0.08

anything = st.floats(allow_nan=True, allow_infinity=True, width=64)
near = st.floats(-0.7, 0.7)
turn = st.floats(-4.0, 4.0)
opening = st.floats(-0.1, 0.2)
wild = st.lists(anything, min_size=7, max_size=7)
plausible = st.builds(
    lambda p, r, g: [*p, *r, g],
    st.tuples(near, near, near),
    st.tuples(turn, turn, turn),
    opening,
)
close_by = st.builds(
    lambda p, r, g: [0.3 + p[0], p[1], 0.1 + p[2], r[0], math.pi / 2 + r[1], r[2], g],
    st.tuples(*[st.floats(-0.15, 0.15)] * 3),
    st.tuples(*[st.floats(-0.4, 0.4)] * 3),
    opening,
)


def fresh() -> EndEffectorController:
    controller = EndEffectorController(X5, LIMITS, DT)
    controller.reset(HOME, OPEN)
    return controller


def assert_within_limits(command: JointCommand, before: np.ndarray, gripper: float) -> None:
    q = command.positions
    assert q.shape == (6,) and np.isfinite(q).all() and math.isfinite(command.gripper)
    assert (q >= X5.lower).all() and (q <= X5.upper).all()
    assert 0.0 <= command.gripper <= X5.gripper_max
    assert (np.abs(q - before) <= X5.velocity * DT * (1 + 1e-9)).all()
    assert abs(command.gripper - gripper) <= LIMITS.gripper_rate * DT * (1 + 1e-9)
    moved = KINEMATICS.forward(q)[:3] - KINEMATICS.forward(before)[:3]
    assert np.linalg.norm(moved) <= LIMITS.linear_speed * DT * 1.05
    assert COLLISION.depths(q, command.gripper) == (0.0, 0.0)
    if not command.accepted:
        assert (q == before).all() and command.gripper == gripper
        assert command.reason is not Reason.OK


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(wild, plausible, close_by), min_size=1, max_size=12))
def test_no_target_makes_the_gate_emit_outside_the_limits(targets: list[list[float]]) -> None:
    SHARED.reset(HOME, OPEN)
    before, gripper = HOME.copy(), OPEN
    for target in targets:
        command = SHARED.command(target, 0.0, 0.0, 0.0)
        assert_within_limits(command, before, gripper)
        before, gripper = command.positions, command.gripper


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(anything, min_size=6, max_size=6), min_size=1, max_size=8), anything)
def test_no_joint_target_makes_the_gate_emit_outside_the_limits(
    targets: list[list[float]], wanted: float
) -> None:
    SHARED.reset(HOME, OPEN)
    before, gripper = HOME.copy(), OPEN
    for target in targets:
        command = SHARED.joint_command(target, wanted)
        assert_within_limits(command, before, gripper)
        before, gripper = command.positions, command.gripper


def at_home(**changes: float) -> np.ndarray:
    target = np.array([0.30, 0.0, 0.15, 0.0, math.pi / 2, 0.0, OPEN])
    for name, value in changes.items():
        target[("x", "y", "z", "rx", "ry", "rz", "gripper").index(name)] = value
    return target


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(index: int, value: float) -> None:
    target = at_home()
    target[index] = value
    command = fresh().command(target, 0.0, 0.0)
    assert (command.accepted, command.reason) == (False, Reason.NOT_FINITE)
    assert (command.positions == HOME).all()


@pytest.mark.parametrize(
    "times", [(math.nan, 0.0, 0.0), (0.0, math.nan, 0.0), (0.0, 0.0, math.inf)]
)
def test_time_that_is_not_finite_is_refused(times: tuple[float, float, float]) -> None:
    assert fresh().command(at_home(), *times).reason is Reason.NOT_FINITE


@pytest.mark.parametrize("size", [0, 6, 8])
def test_a_target_of_another_size_is_refused(size: int) -> None:
    assert fresh().command(np.zeros(size), 0.0, 0.0).reason is Reason.NOT_FINITE


@pytest.mark.parametrize(
    ("target", "times", "reason"),
    [
        (at_home(x=0.7), (0.0, 0.0, 0.0), Reason.OUT_OF_WORKSPACE),
        (at_home(z=-0.01), (0.0, 0.0, 0.0), Reason.OUT_OF_WORKSPACE),
        (at_home(y=1e300), (0.0, 0.0, 0.0), Reason.OUT_OF_WORKSPACE),
        (at_home(ry=0.0), (0.0, 0.0, 0.0), Reason.ORIENTATION_JUMP),
        (at_home(ry=1e200), (0.0, 0.0, 0.0), Reason.ORIENTATION_JUMP),
        (at_home(), (0.0, 0.21, 0.21), Reason.STALE_COMMAND),
        (at_home(), (1.0, 0.0, 0.0), Reason.STALE_COMMAND),
        (at_home(), (5.0, 5.0, 3.9), Reason.STALE_OBSERVATION),
        (at_home(), (5.0, 5.0, 6.0), Reason.STALE_OBSERVATION),
    ],
)
def test_what_is_refused_is_refused_for_its_reason(
    target: np.ndarray, times: tuple[float, float, float], reason: Reason
) -> None:
    command = fresh().command(target, *times)
    assert (command.accepted, command.reason) == (False, reason)


def drive(controller: EndEffectorController, target: np.ndarray, ticks: int) -> JointCommand:
    command = controller.command(target, 0.0, 0.0)
    for _ in range(ticks - 1):
        command = controller.command(target, 0.0, 0.0)
    return command


def test_out_of_reach_is_refused_within_the_box() -> None:
    command = drive(fresh(), at_home(x=0.55, z=0.45), 100)
    assert command.reason is Reason.UNREACHABLE


def test_fingers_into_the_table_are_refused() -> None:
    controller = fresh()
    command = drive(controller, at_home(z=0.0), 100)
    assert command.reason is Reason.OUT_OF_WORKSPACE
    assert 0.005 < controller.commanded_pose()[2] < 0.02
    assert drive(controller, at_home(z=0.05), 50).accepted


def test_self_collision_is_refused() -> None:
    controller = fresh()
    folded = np.array([-2.1, 0.2, 0.1, -1.4, -1.3, 1.3])
    table, itself = COLLISION.depths(folded, OPEN)
    assert table == 0.0 and itself > 0.01
    commands = [controller.joint_command(folded, OPEN) for _ in range(300)]
    assert commands[0].accepted and commands[-1].reason is Reason.SELF_COLLISION


def test_an_arm_in_contact_may_leave_it_but_not_go_deeper() -> None:
    folded = np.array([-2.1, 0.2, 0.1, -1.4, -1.3, 1.3])
    depth = COLLISION.depths(folded, OPEN)[1]
    verdicts = set()
    for joint, turn in [(joint, turn) for joint in range(1, 6) for turn in (-0.01, 0.01)]:
        controller = fresh()
        controller.reset(folded, OPEN)
        target = folded.copy()
        target[joint] += turn
        deeper = COLLISION.depths(target, OPEN)[1] > depth + 1e-6
        command = controller.joint_command(target, OPEN)
        assert command.accepted != deeper
        verdicts.add(deeper)
    assert verdicts == {True, False}


def test_a_far_target_is_limited_not_refused_and_is_reached() -> None:
    controller = fresh()
    target = at_home(y=0.15, z=0.08, gripper=0.0)
    first = controller.command(target, 0.0, 0.0)
    assert first.accepted and first.limited
    last = drive(controller, target, 60)
    assert last.accepted and not last.limited
    np.testing.assert_allclose(controller.commanded_pose(), target, atol=2e-3)
    counters = controller.counters.as_dict()
    assert counters["accepted"] == 61 and 0 < counters["limited"] < 61
    assert counters["refused"] == 0


def test_motion_within_the_speed_limits_is_not_limited() -> None:
    controller = fresh()
    drive(controller, at_home(z=0.10), 40)
    before = controller.counters.limited
    for tick in range(1, 25):
        assert controller.command(at_home(z=0.10, y=0.55 * DT * tick / 1.0), 0.0, 0.0).accepted
    assert controller.counters.limited == before


def test_counters_tell_refused_from_limited() -> None:
    controller = fresh()
    controller.command(at_home(x=2.0), 0.0, 0.0)
    controller.command(at_home(x=math.nan), 0.0, 0.0)
    controller.command(at_home(), 0.0, 0.0)
    controller.hold(Reason.WATCHDOG)
    assert controller.counters.as_dict() == {
        "accepted": 1,
        "limited": 1,
        "refused": 3,
        "refused_out_of_workspace": 1,
        "refused_not_finite": 1,
        "refused_watchdog": 1,
    }


def test_the_emergency_stop_is_latched_until_it_is_reset() -> None:
    controller = fresh()
    controller.stop()
    for _ in range(3):
        command = controller.command(at_home(), 0.0, 0.0)
        assert (command.accepted, command.reason) == (False, Reason.ESTOP)
    assert controller.joint_command(HOME, OPEN).reason is Reason.ESTOP
    assert controller.hold(Reason.WATCHDOG).reason is Reason.ESTOP
    controller.reset(HOME, OPEN)
    assert controller.command(at_home(), 0.0, 0.0).reason is Reason.ESTOP
    controller.reset_stop()
    assert controller.command(at_home(), 0.0, 0.0).accepted


def test_after_a_refusal_the_last_targets_are_held_and_the_arm_goes_on_from_there() -> None:
    controller = fresh()
    sent = controller.command(at_home(), 0.0, 0.0)
    held = controller.command(at_home(x=9.0), 0.0, 0.0)
    assert (held.positions == sent.positions).all() and held.gripper == sent.gripper
    going = controller.command(at_home(), 0.0, 0.0)
    assert_within_limits(going, held.positions, held.gripper)
    assert going.accepted


def test_an_arm_moved_away_while_holding_is_held_where_it_is() -> None:
    controller = fresh()
    controller.command(at_home(), 0.0, 0.0)
    controller.hold(Reason.WATCHDOG)
    moved = HOME + np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert controller.observe(moved)
    np.testing.assert_array_equal(controller.hold(Reason.WATCHDOG).positions, moved)
    command = controller.command(at_home(), 0.0, 0.0)
    assert command.accepted
    assert_within_limits(command, moved, OPEN)


def test_a_small_lag_or_a_moving_arm_does_not_shift_the_target() -> None:
    controller = fresh()
    sent = controller.command(at_home(), 0.0, 0.0)
    assert not controller.observe(HOME + 0.5)
    controller.hold(Reason.WATCHDOG)
    assert not controller.observe(sent.positions + 0.1)
    assert not controller.observe(np.full(6, math.nan))
    np.testing.assert_array_equal(controller.hold(Reason.WATCHDOG).positions, sent.positions)


def test_same_calls_give_same_bytes() -> None:
    rng = np.random.default_rng(0)
    targets = [at_home() + rng.normal(0.0, 0.02, 7) for _ in range(40)]
    runs = []
    for _ in range(2):
        controller = fresh()
        runs.append(b"".join(controller.command(t, 0.0, 0.0).positions.tobytes() for t in targets))
    assert runs[0] == runs[1]


def test_measured_joints_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(ArmError, match="measured joints"):
        fresh().reset(np.full(6, math.nan), OPEN)
    with pytest.raises(ArmError, match=r"shape \(5,\)"):
        fresh().reset(np.zeros(5), OPEN)


@pytest.mark.parametrize(
    "change",
    [
        {"linear_speed": 0.0},
        {"joint_speed_scale": 1.5},
        {"command_timeout": math.nan},
        {"workspace_min": (1.0, -1.0, 0.0)},
        {"table_margin": -0.1},
    ],
)
def test_limits_that_make_no_sense_are_an_error(change: dict) -> None:
    with pytest.raises(ArmError):
        ArmLimits(**change)


def test_a_time_step_that_makes_no_sense_is_an_error() -> None:
    with pytest.raises(ArmError, match="dt"):
        EndEffectorController(X5, LIMITS, 0.0)
