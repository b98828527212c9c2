"""Laws of scoring and writing: a kill loses and doubles nothing, and chosen frames train alike."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ftncfm_frames import frames, on_disk

from vla_distill.dataset import Dataset, DatasetError, layout
from vla_distill.dataset.check import check
from vla_distill.dataset.source import open_frames
from vla_distill.ftncfm import scoring
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.excerpt import write_excerpt
from vla_distill.ftncfm.executor import Here, Processes, Ray
from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.guide import Checkpoint
from vla_distill.ftncfm.matching import MatchConfig, match, match_group, write_matched
from vla_distill.ftncfm.pool import Pool, open_pool
from vla_distill.training.samples import Samples
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.model.policy import VlaPolicy


@pytest.fixture(scope="module")
def guide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(VlaPolicy.random("test"), tmp_path_factory.mktemp("guide"))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "BLOCK", 8)
    scoring.load_job.cache_clear()


def run_scores(pool: Pool, data: Path, guide: Path, folder: Path, executor=None):
    checkpoints = [Checkpoint(guide, 1e-3)]
    return scoring.score(
        pool, str(data), checkpoints, "tracin", folder, executor or Here(), progress=False
    )[0]


def test_a_kill_loses_and_doubles_nothing(tmp_path: Path, guide_folder: Path) -> None:
    data = on_disk(tmp_path / "data", frames())
    pool, work = open_pool(data), tmp_path / "work"
    whole = run_scores(pool, data, guide_folder, work)
    blocks = sorted(work.glob("block_*.npz"))
    assert len(blocks) == -(-len(pool.rows) // 8) and len(whole.score) == len(pool.rows)
    kept = {path: path.stat().st_mtime_ns for path in blocks[2:]}
    for path in blocks[:2]:
        path.unlink()
    (work / ".block_000000.npz").write_bytes(b"half a block")
    again = run_scores(pool, data, guide_folder, work)
    for name in ("score", "alignment", "loss", "features"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert kept == {path: path.stat().st_mtime_ns for path in blocks[2:]}


def test_scores_of_something_else_are_refused(tmp_path: Path, guide_folder: Path) -> None:
    data = on_disk(tmp_path / "data", frames())
    run_scores(open_pool(data), data, guide_folder, tmp_path / "work")
    on_disk(data, frames(way=2.0))
    with pytest.raises(DataDistillationError, match="source"):
        run_scores(open_pool(data), data, guide_folder, tmp_path / "work")


def test_a_gradient_that_is_not_finite_is_set_apart(tmp_path: Path, guide_folder: Path) -> None:
    store = frames()
    action = store.action.copy()
    bad = 2  # its square overflows, and so does the loss
    action[bad, :3] = 1e30
    alone = replace(store, action=action, last_index=np.arange(len(store)))
    data = on_disk(tmp_path / "data", alone)
    pool = open_pool(data)
    pool = replace(
        pool, rows=np.union1d(pool.rows, bad), reference=np.setdiff1d(pool.reference, bad)
    )
    scores = run_scores(pool, data, guide_folder, tmp_path / "work")
    np.testing.assert_array_equal(pool.rows[~scores.finite], [bad])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["processes", "ray"])
def test_whoever_scores_the_scores_are_the_same(
    tmp_path: Path, guide_folder: Path, kind: str
) -> None:
    if kind == "ray":
        pytest.importorskip("ray", reason="optional: pip install ray")
    data = on_disk(tmp_path / "data", frames())
    pool = open_pool(data)
    mine = run_scores(pool, data, guide_folder, tmp_path / "here")
    executor = Processes(2) if kind == "processes" else Ray("local")
    theirs = run_scores(pool, data, guide_folder, tmp_path / kind, executor)
    for name in ("score", "alignment", "loss", "features"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_results_that_were_taken_are_let_go() -> None:
    taken: list[weakref.ref] = []
    for _, result in Processes(2).map(np.zeros, list(range(1, 9))):
        taken.append(weakref.ref(result))
        assert sum(each() is not None for each in taken) <= 2
    assert len(taken) == 8


def test_held_out_episodes_are_never_chosen(tmp_path: Path) -> None:
    pool = open_pool(on_disk(tmp_path / "data", frames()))
    episodes = pool.frames.episode_index
    assert not set(episodes[pool.rows]) & set(episodes[pool.held_out])
    held = {pool.frames.tasks[e] for e in episodes[pool.held_out]}
    assert held == set(pool.tasks) == {"pick", "reach"}


def test_a_task_of_one_episode_holds_none_out(tmp_path: Path) -> None:
    store = frames()
    pool = open_pool(on_disk(tmp_path / "data", replace(store, tasks=["pick"] * 5 + ["reach"])))
    assert "reach" in pool.tasks
    assert {pool.frames.tasks[e] for e in pool.frames.episode_index[pool.held_out]} == {"pick"}


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.99, 1.5, float("nan")])
def test_a_ratio_that_cannot_be_says_what_can(tmp_path: Path, ratio: float) -> None:
    pool = open_pool(on_disk(tmp_path / "data", frames()))
    with pytest.raises(DataDistillationError, match="one for each of the 2 tasks"):
        pool.budget(ratio)


def same_batches(one, rows, other, others, image_levels: float) -> None:
    policy = VlaPolicy.random("test")
    batches = [
        Samples(store, 16, 0.0, 0).batch(index, policy.tokenizer, policy.statistics, 8)
        for store, index in ((one, rows), (other, others))
    ]
    for name in ("text", "text_mask", "state", "actions", "foretold", "positions"):
        torch.testing.assert_close(
            getattr(batches[0], name), getattr(batches[1], name), rtol=1e-4, atol=1e-4
        )
    gap = (batches[0].images - batches[1].images).abs().max() * 127.5
    assert float(gap) <= image_levels + 1e-3


def test_chosen_frames_train_as_they_did_in_their_source(tmp_path: Path) -> None:
    store = frames()
    smooth = np.repeat(np.repeat(np.asarray(store.images)[:, :, ::16, ::16], 16, 2), 16, 3)
    disturbance = np.where(np.arange(len(store)) == 8, layout.ERROR_LEVEL, 0)
    error = np.where(
        (store.episode_index == 1) & (np.arange(len(store)) <= 8), 8, store.error_index
    )
    store = replace(frames(way=0.1), images=smooth, disturbance=disturbance, error_index=error)
    pool = Pool(store, np.arange(6), np.arange(30), np.arange(0), np.arange(0))
    rows, weight = np.array([7, 6, 20, 3]), np.array([1.0, 2.0, 3.0, 4.0])
    write_excerpt(tmp_path / "out", pool, rows, weight, pool.seeds, {"made": "up"}, {})
    assert check(tmp_path / "out", progress=False)[0] == []
    found, seeds = open_frames([tmp_path / "out"], progress=False)
    order = np.sort(rows)
    same_batches(store, order, found, np.arange(4), image_levels=2)
    assert found.chosen is not None
    np.testing.assert_array_equal(found.chosen.weight, [4.0, 2.0, 1.0, 3.0])
    np.testing.assert_array_equal(found.scene_frame, store.frame_index[order])
    np.testing.assert_array_equal(seeds[found.episode_index], store.episode_index[order])
    assert Dataset(tmp_path / "out").episodes[0].task == "pick"


def test_heavier_samples_are_drawn_more_often(tmp_path: Path) -> None:
    store, _ = open_frames([on_disk(tmp_path / "data", frames())])
    assert store.chosen is not None
    weight = np.where(np.arange(len(store)) == 4, 29.0, 1.0).astype(np.float32)
    store = replace(store, chosen=replace(store.chosen, weight=weight))
    drawn = np.concatenate([Samples(store, 16, 0.0, 0).draw(s, 32, 0) for s in range(40)])
    assert 0.4 < (drawn == 4).mean() < 0.6


@pytest.mark.parametrize("rounds", [0, 30])
def test_synthetic_samples_begin_as_real_ones_and_come_nearer(
    tmp_path: Path, guide_folder: Path, rounds: int
) -> None:
    store = frames(way=0.1)
    pool = Pool(store, 100 + np.arange(6), np.arange(30), np.arange(0), np.arange(0))
    guide = Guide(load_policy(guide_folder), store)
    features = guide.prepare(pool.rows).features.numpy()
    weight = np.where(pool.phase == pool.phase[0], 1.0, 2.0)
    chosen = np.array([2, 3, 11, 12])
    config = MatchConfig(rounds=rounds, batch=4, real=128, adversarial=False)
    steps = list(match(guide, pool, features, weight, chosen, config, tmp_path / "match", 0))
    assert steps[-1] == (4, 4)
    groups = [dict(np.load(path)) for path in sorted((tmp_path / "match").glob("*.npz"))]
    write_matched(tmp_path / "out", pool, groups, pool.seeds)
    found, seeds = open_frames([tmp_path / "out"])
    np.testing.assert_array_equal(seeds[found.episode_index], 100 + store.episode_index[chosen])
    np.testing.assert_array_equal(found.state, store.state[chosen])
    before, after = np.mean([group["discrepancy"] for group in groups], axis=0)
    if rounds == 0:
        same_batches(store, chosen, found, np.arange(4), image_levels=0)
        assert before == after
    else:
        assert after < 0.9 * before


def test_a_sample_moves_only_in_its_turn(guide_folder: Path) -> None:
    store = frames(way=0.1)
    guide, rows = Guide(load_policy(guide_folder), store), np.arange(8)
    features = guide.prepare(np.arange(30)).features.numpy()
    weight = np.where(np.arange(30) == 29, 1.0, 0.0)  # the way goes on and on
    config = MatchConfig(rounds=20, batch=1, real=8, adversarial=False, pixel_rate=0.01)
    made = match_group(guide, rows, features, weight, config, 0)["images"]
    away = np.abs(made.astype(int) - np.asarray(store.images[rows]).astype(int)).max()
    assert 0.5 < (away - 1) / (20 * 0.01 * 127.5) <= 1.1


def test_a_damaged_synthetic_file_is_named(tmp_path: Path) -> None:
    data = on_disk(tmp_path / "data", frames())
    path = data / "synthetic.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"synthetic\.safetensors"):
        open_frames([data])
