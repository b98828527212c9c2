"""Judging a policy on a bag: scores that are known in advance, and repeat to the byte."""

import json

import numpy as np
import pytest
from test_bags import ShiftPolicy, messages, pose, write

from vla_distill.bags.content import read_bag
from vla_distill.bags.errors import BagError
from vla_distill.bags.evaluation import judge
from vla_distill.bags.step import StepConfig
from vla_policy.contract import ActionChunk
from vla_policy.errors import PolicyError
from vla_policy.noise import stamp_seed


class KnowingPolicy(ShiftPolicy):
    """Knows what was done, and errs as told: position [m], turn [rad], opening [m]."""

    def __init__(self, shift=0.0, turn=0.0, opening=0.04):
        self.shift, self.turn, self.opening = shift, turn, opening

    def _one(self, observation, memory):
        due = observation.stamp - 10.0 + 0.1 * np.arange(1, 9)
        targets = np.array([np.append(pose(t), self.opening) for t in due], np.float32)
        targets[:, 0] += self.shift
        targets[:, 4] += self.turn
        chunk = ActionChunk(
            targets, observation.stamp, 0.1, sequence=memory.sequence, seed=memory.seed,
            input_stamps=observation.input_stamps,
        )  # fmt: skip
        memory.sequence += 1
        return chunk


@pytest.fixture
def bag(tmp_path):
    return read_bag(write(tmp_path / "a.mcap", messages(duration=2.0)))


def test_who_knows_what_was_done_has_no_error(bag):
    found = judge(bag, KnowingPolicy(), StepConfig())
    assert found.scores["chunks"] == 11 and not found.faults
    assert found.scores["position_error_mm"]["max"] == pytest.approx(0.0, abs=1e-3)
    assert found.scores["rotation_error_deg"]["max"] == pytest.approx(0.0, abs=1e-3)
    assert found.scores["seam_jump_mm"]["max"] < 0.05  # the way between two targets is not straight
    assert found.scores["gripper_f1"] == 1.0
    assert found.scores["observation_age_s"]["max"] == 0.0


def test_errors_are_what_was_put_in(bag):
    found = judge(bag, KnowingPolicy(0.003, 0.01, 0.08), StepConfig()).scores
    assert found["position_error_mm"]["mean"] == pytest.approx(3.0, abs=1e-3)
    assert 0.3 < found["rotation_error_deg"]["mean"] < 0.6
    assert found["gripper_error_mm"]["mean"] == pytest.approx(40.0, abs=1e-3)
    assert found["gripper_f1"] == 0.0
    assert found["horizon_position_mm"][-1] == pytest.approx(3.0, abs=1e-3)


def test_scores_repeat_to_the_byte_and_noise_is_by_stamp(bag):
    one, two = (judge(bag, ShiftPolicy(), StepConfig(seed=4)) for _ in range(2))
    assert json.dumps(one.scores) == json.dumps(two.scores)
    assert json.dumps(judge(bag, ShiftPolicy(), StepConfig(seed=5)).scores) != json.dumps(
        one.scores
    )
    assert stamp_seed(0, 10.2) == stamp_seed(0, 10.2) != stamp_seed(0, 10.3)


def test_a_chunk_is_asked_for_as_often_as_told(bag):
    assert judge(bag, ShiftPolicy(), StepConfig(replan_steps=4)).scores["chunks"] == 6


@pytest.mark.parametrize(
    "wrong",
    [{"replan_steps": 0}, {"image_period": 0.0}, {"image_period": -1.0}, {"image_period": np.nan}],
    ids=str,
)
def test_impossible_settings_are_named(wrong):
    (name,) = wrong
    with pytest.raises(BagError, match=f"{name}: got"):
        StepConfig(**wrong)


def test_a_chunk_without_an_image_of_its_moment_is_not_asked_for(tmp_path):
    content = [m for m in messages(duration=2.0) if not ("wrist" in m[1] and 10.75 < m[0] < 11.25)]
    found = judge(read_bag(write(tmp_path / "a.mcap", content)), ShiftPolicy(), StepConfig())
    assert found.scores["chunks"] < 11
    assert any("wrist" in fault["topic"] for fault in found.faults)


def test_a_camera_that_is_not_there_is_named(tmp_path):
    content = [m for m in messages() if "wrist" not in m[1]]
    with pytest.raises(PolicyError, match="wrist"):
        judge(read_bag(write(tmp_path / "a.mcap", content)), ShiftPolicy(), StepConfig())
