"""Laws of counter-examples: the scene is the recorded one, and one change changes one thing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_arm.joint_table import HOME, get_arm
from vla_arm.kinematics import ArmKinematics
from vla_distill.ftncfm.counterexample import CHANGED, TEMPLATES, Moment, Stage
from vla_sim.constants import CAMERAS
from vla_sim.tasks import draw_episode

SEED = 5_000_001


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage(48)
    yield stage
    stage.close()


def at_start(stage: Stage, task: str, seed: int = SEED) -> Moment:
    stage.simulation.reset(task, seed)
    pose = ArmKinematics(get_arm("X5")).forward(HOME)
    target = stage.simulation.keypoints()["target"]
    return Moment(task, seed, np.array([*pose, 0.08, 0.08]), target)


def test_counter_examples_change_the_right_action_or_are_not_confirmed(stage: Stage) -> None:
    moment = at_start(stage, "reach")
    recorded = np.stack([stage.simulation.render(name).copy() for name in CAMERAS])
    found = {each.template: each for each in stage.counter_examples(moment)}
    assert set(found) == set(TEMPLATES)
    assert found["moved"].confirmed and found["moved"].difference > CHANGED
    assert found["swapped"].confirmed
    # A smaller object in the same place: the gripper still goes there.
    assert found["resized"].difference < found["moved"].difference
    for each in found.values():
        changed = (np.abs(each.images.astype(int) - recorded) > 20).any(-1).mean()
        assert 0.0 < changed < 0.2  # something, and not the arm or the light
    again = {each.template: each for each in stage.counter_examples(moment)}
    for template, each in found.items():
        np.testing.assert_array_equal(each.images, again[template].images)


def test_what_is_in_the_hand_is_not_changed(stage: Stage) -> None:
    moment = at_start(stage, "pick")
    held = np.array([*moment.state[:6], 0.03, 0.0])
    assert stage.counter_examples(Moment("pick", SEED, held, moment.state[:3])) == []


def test_a_scene_that_flies_apart_is_no_counter_example(stage: Stage, monkeypatch) -> None:
    moment, answer, answers = at_start(stage, "reach"), stage._answer, []

    def explode_in_the_second_scene():
        answers.append(answer())
        if len(answers) == 2:
            stage.simulation.data.qvel[:] = 1e12
            stage.simulation.step(HOME, 0.08)
        return answers[-1]

    monkeypatch.setattr(stage, "_answer", explode_in_the_second_scene)
    left = list(TEMPLATES)[1:]
    assert [each.template for each in stage.counter_examples(moment)] == left
    assert stage.simulation.stable  # each scene begins anew


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_a_template_changes_nothing_but_what_it_says(template: str) -> None:
    _, layout, aim, _ = draw_episode("pick", SEED)
    changed = TEMPLATES[template](layout, aim.target, np.random.default_rng(0))
    assert changed is not None and changed.names == layout.names and changed.look == layout.look
    before, after = layout.item(aim.target), changed.item(aim.target)
    assert (before.colour, before.kind, before.yaw) == (after.colour, after.kind, after.yaw)
    assert (before.size == after.size) == (template != "resized")
    assert ((before.x, before.y) == (after.x, after.y)) == (template == "resized")
    others = [item for item in layout.items if item.name != aim.target]
    moved = sum(changed.item(item.name) != item for item in others)
    assert moved == (template == "swapped")
