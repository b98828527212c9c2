"""The motors behind the bench are what its documentation says."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from can_bench import motors

ROOT = importlib.util.find_spec("arx5_interface")


@pytest.fixture(scope="module")
def model():
    if ROOT is None or ROOT.origin is None:
        pytest.skip("arx5-interface has no wheel for this machine")
    return motors._model(str(Path(ROOT.origin).parent / "models" / "X5.urdf"))


def test_the_grippers_motor_turns_about_its_own_middle(model):
    # Off its axis it was 13 times as heavy to turn, and every quick reversal an overload.
    assert model.dof_M0[6] == pytest.approx(motors.ROTOR[6] + 1e-4)


def test_every_joint_feels_its_rotor_and_has_a_motor(model):
    assert np.allclose(model.dof_armature, motors.ROTOR)
    assert model.actuator_trnid[:, 0].tolist() == list(range(7))
