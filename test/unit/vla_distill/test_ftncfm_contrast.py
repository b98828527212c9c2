"""Laws of verification: a real scene gets a counter-example, and a kill costs no result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ftncfm_frames import frames, on_disk

from vla_arm.joint_table import HOME, get_arm
from vla_arm.kinematics import ArmKinematics
from vla_distill.dataset.source import open_frames
from vla_distill.ftncfm import contrast
from vla_distill.ftncfm.counterexample import CHANGED
from vla_distill.ftncfm.executor import Here
from vla_distill.ftncfm.gradients import dot, norm
from vla_distill.ftncfm.guide import Checkpoint
from vla_distill.ftncfm.pool import Pool
from vla_distill.ftncfm.scoring import Scores, ScoringJob, load_job, score
from vla_policy.checkpoint import save_policy
from vla_policy.model.policy import VlaPolicy
from vla_sim.constants import CAMERAS

SEED = 5_000_000
Scored = tuple[Pool, Scores, ScoringJob]


@pytest.fixture
def scored(tmp_path: Path) -> Scored:
    """Episodes 0 and 1 show what the simulator shows at their begin; of the others, whose seeds are
    no training's, nobody knows what is where."""
    store, stage = frames(way=0.1), contrast.stage_of(32)
    images, state = np.asarray(store.images).copy(), store.state.copy()
    keypoints = store.keypoints.copy()
    for episode in (0, 1):
        own = store.episode_index == episode
        stage.simulation.reset(store.tasks[episode], SEED + episode)
        state[own] = [*ArmKinematics(get_arm("X5")).forward(HOME), 0.08, 0.08]
        images[own] = np.stack([stage.simulation.render(name).copy() for name in CAMERAS])
        keypoints[own, :3] = stage.simulation.keypoints()["target"]
    made = replace(store, images=images, state=state, keypoints=keypoints)
    data = on_disk(tmp_path / "data", made, [SEED, SEED + 1, 102, 103, 104, 105])
    found, seeds = open_frames([data], progress=False)
    pool = Pool(found, seeds, np.arange(20), np.arange(20, 30), np.arange(20, 30))
    guide = [Checkpoint(save_policy(VlaPolicy.random("test"), tmp_path / "guide"), 1e-3)]
    work = tmp_path / "work"
    scores, job = score(pool, str(data), guide, "tracin", work, Here(), progress=False)
    return pool, scores, job


def test_a_real_scene_is_held_against_one_in_which_the_right_action_is_another(scored) -> None:
    pool, scores, job = scored
    guides, _, reference, seeds = load_job(job)

    def alignment(row: int, images: np.ndarray) -> float:
        """Cosine of the reference's gradient and that of the sample with other images."""
        each = guides[-1].gradients(guides[-1].prepare(np.array([row]), images[None]))
        return float((dot(each, reference) / (dot(each, each).sqrt() * norm(reference)))[0])

    for row in (0, 5):
        found, own = contrast.verify_sample(job, row), np.asarray(pool.frames.images[row])
        assert found.template in found.tried and found.difference > CHANGED
        moment = contrast.moment_of(pool.frames, seeds, row)
        assert moment is not None
        shown = contrast.stage_of(32).counter_examples(moment)
        (chosen,) = [each for each in shown if each.template == found.template]
        assert found.alignment == pytest.approx(alignment(row, chosen.images), abs=1e-6)
        assert scores.alignment[row] == pytest.approx(alignment(row, own), abs=1e-6)
        assert abs(found.alignment - scores.alignment[row]) > 1e-5
    assert contrast.verify_sample(job, 12) == contrast.Contrast(12)


def test_a_cut_journal_is_gone_on_with(scored, tmp_path: Path, monkeypatch) -> None:
    pool, scores, job = scored
    monkeypatch.setattr(contrast, "SHARE", 0.5)
    journal, calls, verify_one = tmp_path / "contrast.jsonl", [], contrast.verify_sample

    def count(job: ScoringJob, row: int) -> contrast.Contrast:
        calls.append(row)
        return verify_one(job, row)

    monkeypatch.setattr(contrast, "verify_sample", count)
    whole = contrast.verify(pool, scores, job, journal, Here(), progress=False)
    assert sorted(calls) == sorted(whole) and len(whole) == 10
    assert {row for row in whole if whole[row].template} == {row for row in whole if row < 10}
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:6]) + lines[6][:20])
    calls.clear()
    again = contrast.verify(pool, scores, job, journal, Here(), progress=False)
    assert {r: str(c) for r, c in again.items()} == {r: str(c) for r, c in whole.items()}
    assert len(calls) == 4
