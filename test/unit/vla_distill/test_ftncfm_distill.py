"""Laws of the whole way: steps are shared and resumed, what comes out trains, and says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ftncfm_frames import frames, on_disk

from vla_distill.benchmark.data import run as bench_run
from vla_distill.benchmark.data_config import (
    ENDINGS,
    FULL,
    FULL_SHORT,
    DataBenchConfig,
    Run,
    cost,
)
from vla_distill.benchmark.data_page import page
from vla_distill.benchmark.data_summary import summarise
from vla_distill.cli import main as cli
from vla_distill.cli.benches import data as bench_data
from vla_distill.dataset import DatasetError, DatasetWriter
from vla_distill.dataset.source import open_frames
from vla_distill.ftncfm import distill
from vla_distill.ftncfm.arms import ARMS
from vla_distill.ftncfm.config import DistillDataConfig
from vla_distill.ftncfm.distill import distill_data
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.executor import Here
from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.guide import Checkpoint
from vla_distill.ftncfm.lean import lean
from vla_distill.ftncfm.matching import MatchConfig
from vla_distill.ftncfm.pool import open_pool
from vla_distill.ftncfm.relabel import mean_chunks
from vla_distill.ftncfm.tracing import TRACERS, Lissa
from vla_distill.ftncfm.workfolder import spent, stopwatch
from vla_distill.training.config import TrainConfig
from vla_distill.training.trainer import Trainer
from vla_policy.checkpoint import policy_hash, save_policy
from vla_policy.errors import PolicyError
from vla_policy.model.policy import VlaPolicy


def config(tmp_path: Path, **changes) -> DistillDataConfig:
    data = tmp_path / "data"
    if not data.exists():
        on_disk(data, frames(way=0.1))
    train = TrainConfig(data=str(data), out="", preset="test", steps=20, batch=4, precision="no")
    values = {
        "data": str(data),
        "out": tmp_path / "out",
        "work": tmp_path / "work",
        "train": train,
        "ratio": 0.2,
        "match": MatchConfig(rounds=1, real=8),
    }
    return DistillDataConfig(**(values | changes))


def run(config: DistillDataConfig) -> dict:
    return distill_data(config, Here(), progress=False)


@pytest.mark.parametrize("arm", ["weighted_contrast", "top_influence"])
def test_what_comes_out_trains_and_says_why(tmp_path: Path, arm: str) -> None:
    wanted = config(tmp_path, arm=arm)
    summary = run(wanted)
    assert summary["kept_samples"] == 6 and summary["source_samples"] == 30
    kept = json.loads((wanted.out / "summary.json").read_text())["samples"]
    assert len(kept) == 6 and {each["task"] for each in kept} == {"pick", "reach"}
    assert all(np.isfinite([e["score"], e["weight"], e["alignment"]]).all() for e in kept)
    page = (wanted.out / "samples.html").read_text()
    assert "Most valuable" in page and "Least valuable" in page
    assert run(wanted) == summary  # nothing is made again
    with pytest.raises(DatasetError, match="one of another ratio"):
        run(replace(wanted, ratio=0.3))
    store, _ = open_frames([wanted.out], progress=False)
    train = replace(wanted.train, out=str(tmp_path / "run"), steps=2, held_out=0.0)
    Trainer(train, store).run()
    assert (tmp_path / "run" / "policy" / "model.safetensors").is_file()


def test_evidence_changes_nothing_of_the_choice(tmp_path: Path) -> None:
    plain = config(tmp_path, arm="spread", out=tmp_path / "plain")
    told = replace(plain, evidence=True, out=tmp_path / "told")
    assert run(plain)["preprocess_seconds"] < 1.0 < run(told)["preprocess_seconds"]
    assert (told.out / "samples.html").is_file() and not (plain.out / "samples.html").exists()
    one, other = (
        json.loads((each.out / "summary.json").read_text())["samples"] for each in (plain, told)
    )
    assert [sample["row"] for sample in one] == [sample["row"] for sample in other]
    assert "score" not in one[0] and np.isfinite(other[0]["score"])


@pytest.mark.parametrize("arm", ["uniform_ncfm", "random"])
def test_a_kill_while_writing_leaves_nothing_half_done(tmp_path: Path, monkeypatch, arm) -> None:
    wanted, rename = config(tmp_path, arm=arm), Path.rename

    def die(self: Path, target: Path) -> Path:
        if Path(target) == wanted.out:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    assert not wanted.out.exists()
    summary = run(wanted)
    kept = {path.name for path in tmp_path.iterdir()}
    assert "out" in kept and not {name for name in kept if name.startswith("out.")}
    assert run(wanted) == summary


def test_what_a_kill_left_of_another_choice_is_no_part_of_this_one(tmp_path, monkeypatch) -> None:
    wanted, choose = config(tmp_path, arm="random"), distill.choose

    def die(*given) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DatasetWriter, "finish", die)
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    monkeypatch.setattr(distill, "choose", lambda *given: choose(*given)[:-1])
    with pytest.raises(DatasetError, match="collection"):
        run(wanted)


@pytest.mark.parametrize("arm", ["random", "uniform_ncfm"])
def test_data_that_does_not_say_where_things_are_trains(tmp_path, monkeypatch, arm) -> None:
    def blind(*given, **named):
        pool = open_pool(*given, **named)
        pool.frames.keypoints[:] = np.nan  # what the reader makes of a column that is not there
        return pool

    monkeypatch.setattr("vla_distill.ftncfm.distill.open_pool", blind)
    wanted = config(tmp_path, arm=arm)
    run(wanted)
    assert not open_frames([wanted.out], progress=False)[0].keypoints.any()


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    wanted = config(tmp_path, arm="uniform_ncfm")
    before = (tmp_path / "data" / "synthetic.safetensors").read_bytes()
    with pytest.raises(DatasetError, match="something else"):
        run(replace(wanted, out=Path(wanted.data)))
    assert (tmp_path / "data" / "synthetic.safetensors").read_bytes() == before
    run(wanted)
    on_disk(tmp_path / "data", frames(way=0.2))
    with pytest.raises(DatasetError, match="one of another source_hash"):
        run(wanted)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rule": "best"}, "rule"),
        ({"tracer": "best"}, "tracer"),
        ({"match": MatchConfig(pixel_rate=-1.0)}, "pixel_rate: got -1.0, expected 0.0 or more"),
        ({"match": MatchConfig(rounds=-1)}, "rounds"),
        ({"arm": "random", "teacher": "nowhere"}, "nowhere"),
        ({"seed": -1}, "seed: got -1, expected 0 or more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_computed(tmp_path, changes, named) -> None:
    with pytest.raises(ValueError, match=named):
        run(config(tmp_path, **changes))
    assert not (tmp_path / "work").exists()


def test_a_missing_init_is_told_where_something_begins_with_it(tmp_path: Path) -> None:
    plain = config(tmp_path, arm="random")
    folder = tmp_path / "base"
    lost = replace(plain, train=replace(plain.train, init=str(folder)))
    run(lost)
    for other in ({"arm": "herding"}, {"evidence": True}):
        with pytest.raises(DataDistillationError, match=r"base: got no .*config/train/base.yaml"):
            run(replace(lost, out=tmp_path / "other", **other))
    with pytest.raises(PolicyError, match=r"base/config\.json"):
        policy_hash(folder)
    summary = json.loads((lost.out / "summary.json").read_text())
    summary["settings"]["init_hash"] = "of older ones"
    (lost.out / "summary.json").write_text(json.dumps(summary))
    assert run(lost)["settings"] == summary["settings"]


def test_tasks_may_have_blanks_and_processes_are_counted(tmp_path: Path, capsys) -> None:
    data = on_disk(tmp_path / "data", frames())
    words = ["distill-data", "--data", str(data), "--ratio", "0.2", "--tasks", "pick, reach"]
    words += ["--config", str(yaml_file(tmp_path)), "--out"]
    assert cli.main([*words, str(tmp_path / "out"), "--processes", "0"]) == 0
    assert json.loads((tmp_path / "out/summary.json").read_text())["kept_samples"] == 6
    assert cli.main([*words, str(tmp_path / "other"), "--processes", "-2"]) == 2
    assert "processes: got -2, expected 1 or more" in capsys.readouterr().err


def yaml_file(tmp_path: Path) -> Path:
    """A short training, from scratch."""
    path = tmp_path / "train.yaml"
    path.write_text("{data: anywhere, out: anywhere, preset: test, steps: 20}")
    return path


def broken(tmp_path: Path, rows: list[int]) -> Path:
    """A dataset in which the loss of some frames overflows."""
    store = frames(way=0.1)
    action = store.action.copy()
    action[rows, :3] = 1e30
    alone = replace(store, action=action, last_index=np.arange(len(store)))
    return on_disk(tmp_path / "data", alone)


@pytest.mark.parametrize("tracer", sorted(TRACERS))
@pytest.mark.parametrize("unit", ["frames", "episodes"])
def test_what_cannot_be_judged_is_not_kept(tmp_path, monkeypatch, tracer, unit) -> None:
    monkeypatch.setattr(Lissa, "depth", 3)
    monkeypatch.setattr("vla_distill.ftncfm.distill.train_guide", untrained(tmp_path))
    broken(tmp_path, [1, 7, 13])
    one = config(tmp_path, arm="herding", tracer=tracer, unit=unit, ratio=0.5)
    assert run(one)["unusable_samples"] > 0
    kept = json.loads((one.out / "summary.json").read_text())["samples"]
    assert kept and not {each["row"] for each in kept} & {1, 7, 13}


def test_a_task_that_cannot_be_judged_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("vla_distill.ftncfm.distill.train_guide", untrained(tmp_path))
    broken(tmp_path, [row for row in range(30) if row // 5 % 2])
    with pytest.raises(DataDistillationError, match="gradients of reach: got not one"):
        run(config(tmp_path, arm="top_influence", tracer="tracin"))


def test_more_than_can_be_judged_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("vla_distill.ftncfm.distill.train_guide", untrained(tmp_path))
    broken(tmp_path, list(range(0, 30, 2)))
    with pytest.raises(DataDistillationError, match=r"can be judged: got .* the 18 that"):
        run(config(tmp_path, arm="k_center", tracer="tracin", ratio=0.6))


def untrained(tmp_path: Path) -> Callable[..., tuple[Checkpoint, ...]]:
    """Stands for the guide's training, which broken frames would end."""
    folder = tmp_path / "work" / "guide"

    def make(*_: object) -> tuple[Checkpoint, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text('{"batch": 4}')
        (folder / "log.jsonl").write_text('{"step": 1, "samples_per_second": 4.0}\n')
        policy = save_policy(VlaPolicy.random("test"), folder / "policy")
        return (Checkpoint(policy, 1e-3),)

    return make


def test_arms_share_a_guide_and_refuse_another_ones(tmp_path: Path) -> None:
    run(config(tmp_path, arm="herding", out=tmp_path / "one"))
    guide = tmp_path / "work" / "guide" / "policy_000003" / "model.safetensors"
    made = guide.stat().st_mtime_ns
    run(config(tmp_path, arm="k_center", out=tmp_path / "two"))
    assert guide.stat().st_mtime_ns == made
    other = config(tmp_path, arm="herding", out=tmp_path / "three", seed=1)
    with pytest.raises(DataDistillationError, match="seed"):
        run(replace(other, train=replace(other.train, seed=1)))


def test_a_guide_that_began_with_another_policy_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "base"
    save_policy(VlaPolicy.random("test", seed=1), base)
    wanted = config(tmp_path, arm="herding")
    wanted = replace(wanted, train=replace(wanted.train, init=str(base)))
    run(wanted)
    shutil.rmtree(base)
    save_policy(VlaPolicy.random("test", seed=2), base)
    with pytest.raises(DataDistillationError, match=r"guide/settings\.json: start"):
        run(replace(wanted, out=tmp_path / "again"))


def test_whole_episodes_are_kept_whole(tmp_path: Path) -> None:
    wanted = config(tmp_path, arm="random", unit="episodes", ratio=0.34)
    assert run(wanted)["kept_samples"] == 10
    with pytest.raises(DataDistillationError, match=r"0\.07, 0 of 6 episodes"):
        run(config(tmp_path, arm="random", unit="episodes", ratio=0.07, out=tmp_path / "few"))
    store, _ = open_frames([wanted.out], progress=False)
    np.testing.assert_array_equal(store.scene_frame, np.tile(np.arange(5), 2))
    with pytest.raises(DataDistillationError, match="unit"):
        run(config(tmp_path, arm="weighted_ncfm", unit="episodes", out=tmp_path / "other"))


def test_soft_labels_are_the_teachers_and_only_the_labels_change(tmp_path: Path) -> None:
    folder = str(save_policy(VlaPolicy.random("test", seed=3), tmp_path / "teacher"))
    hard, soft = (
        config(tmp_path, arm="random", out=tmp_path / name, teacher=teacher)
        for name, teacher in (("hard", ""), ("soft", folder))
    )
    run(hard)
    assert run(soft)["preprocess_seconds"] > 0.0
    recorded, told = (open_frames([each.out], progress=False)[0] for each in (hard, soft))
    np.testing.assert_array_equal(recorded.state, told.state)
    np.testing.assert_array_equal(recorded.scene_frame, told.scene_frame)
    rows = np.arange(len(told))
    source, _ = open_frames([soft.data], progress=False)
    teacher = Guide.load(folder, source, soft.seed)
    kept = json.loads((soft.out / "summary.json").read_text())["samples"]
    wanted = mean_chunks(teacher, np.array(sorted(sample["row"] for sample in kept)))
    np.testing.assert_allclose(told.chunks(rows, 16), wanted, atol=1e-5)
    assert not np.allclose(told.chunks(rows, 16), recorded.chunks(rows, 16), atol=1e-3)
    assert told.chunk_mask(rows, 16).all()


def test_labels_that_lie_to_one_side_are_found(tmp_path: Path) -> None:
    folder = str(save_policy(VlaPolicy.random("test", seed=3), tmp_path / "teacher"))
    one = config(tmp_path, arm="random", ratio=0.6, teacher=folder)
    run(one)
    store, _ = open_frames([one.out], progress=False)
    rows = np.arange(len(store))
    straight = lean(store, rows, folder, seed=5)  # other noise than the labels were drawn with
    assert straight["mm"] < 5 * straight["error_mm"]
    assert store.chosen is not None
    store.chosen.chunk[..., 1] += 0.01
    tilted = lean(store, rows, folder, seed=5)
    assert tilted["mm"] == pytest.approx(10.0, abs=straight["mm"])
    recorded = lean(open_frames([one.data], progress=False)[0], rows, folder)
    assert recorded["mm"] > 5 * recorded["error_mm"]  # an untrained policy knows nothing


def test_synthetic_samples_have_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(DataDistillationError, match="teacher: got one, for uniform_ncfm"):
        run(config(tmp_path, arm="uniform_ncfm", teacher="anywhere"))


@pytest.mark.parametrize(("arm", "moved"), [("_pixels", "images"), ("_chunks", "chunks")])
def test_a_part_that_does_not_move_stays_as_recorded(tmp_path: Path, arm: str, moved: str) -> None:
    how = replace(ENDINGS[arm]["match"], rounds=2, real=8)
    one = config(tmp_path, arm="uniform_ncfm", match=how)
    run(config(tmp_path, arm="uniform_ncfm", out=tmp_path / "both"))  # shares the work folder
    run(one)
    kept = json.loads((one.out / "summary.json").read_text())["samples"]
    rows = np.array(sorted(sample["row"] for sample in kept))
    made, source = (open_frames([path], progress=False)[0] for path in (one.out, one.data))
    parts = {
        "images": (np.asarray(made.images), np.asarray(source.images[rows])),
        "chunks": (made.chunks(np.arange(len(rows)), 16), source.chunks(rows, 16)),
    }
    same = {name: np.allclose(ours, theirs, atol=1e-4) for name, (ours, theirs) in parts.items()}
    assert same == {name: name != moved for name in parts}


BENCH = DataBenchConfig(
    "data", TrainConfig(data="data", out="", steps=1000), Path("work"), ("reach", "pick")
)


@pytest.fixture
def bench(tmp_path: Path) -> DataBenchConfig:
    data = str(on_disk(tmp_path / "data", frames()))
    work = tmp_path / "work"
    return replace(BENCH, data=data, work=work, seeds=(1,), arms=(FULL, "random"), teacher="")


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """Names of the cells that were trained; nothing is."""
    names = []

    def cell(config: DataBenchConfig, one: Run, progress: bool) -> dict:
        names.append(one.name)
        pool = open_pool(config.data)
        row = {"start": "", "data": pool.frames.content_hash, "outcomes": {"pick": "10"}}
        row |= {"commit": "c", "success": 0.5, "train_seconds": 1.0, "preprocess_seconds": 0.0}
        return vars(one) | row

    monkeypatch.setattr("vla_distill.benchmark.data._cell", cell)
    return names


def test_a_table_keeps_its_rows_and_is_not_mixed_with_another(bench, made, tmp_path) -> None:
    list(bench_run(bench))
    more = list(bench_run(replace(bench, arms=(FULL, "random", "herding"))))
    assert made == ["full_1_1", "random_0.05_1", "herding_0.05_1"]
    known = [{"arm": "k_center", "ratio": 0.05, "seed": 1, "start": ""}]
    elsewhere = replace(bench, work=tmp_path / "elsewhere", arms=("k_center", "random"))
    assert [row["arm"] for row in bench_run(elsewhere, known)] == ["k_center", "random"]
    assert made[3:] == ["random_0.05_1"] and cost(elsewhere, known)["trainings"] == 1
    assert [row["arm"] for row in more] == ["full", "random", "herding"]
    with pytest.raises(DataDistillationError, match="from scratch: policy: got none, expected abc"):
        list(bench_run(elsewhere, [known[0] | {"start": "abc"}]))
    assert list(bench_run(elsewhere, [known[0] | {"start": "abc", "seed": 2}]))
    longer = replace(bench.train, steps=9)
    for other in ({"train": longer}, {"env": "metaworld"}):
        with pytest.raises(DataDistillationError, match=r"settings.json: (steps|env)"):
            list(bench_run(replace(bench, **other)))


def test_other_scenes_are_rows_of_their_own_in_the_same_work_folder(bench, made) -> None:
    for scenes in ({}, {"first_seed": 2000}, {"episodes": 7}, {}):
        config = replace(bench, **scenes)
        assert len(list(bench_run(config))) == len(bench.runs())
    assert made == 3 * [cell.name for cell in bench.runs()]  # the last are known


def test_rows_of_other_data_are_no_part_of_a_table(bench, made, tmp_path) -> None:
    row = {"arm": "k_center", "ratio": 0.05, "seed": 2, "start": ""}
    wanted = r"data: content: got .*, expected abc .* another --json and --work"
    with pytest.raises(DataDistillationError, match=wanted):
        list(bench_run(bench, [row | {"data": "abc"}]))
    assert not made and not bench.work.exists()
    mine = open_pool(bench.data).frames.content_hash
    for known in (row, row | {"data": mine}):  # older rows do not say
        assert len(list(bench_run(bench, [known]))) == 3
    on_disk(Path(bench.data), frames(way=0.2))
    with pytest.raises(DataDistillationError, match=f"content: got .*, expected {mine}"):
        list(bench_run(replace(bench, seeds=(1, 3))))
    with pytest.raises(DataDistillationError, match="no teacher: policy: got none, expected abc"):
        list(bench_run(replace(bench, seeds=(4,)), [row | {"teacher": "abc"}]))
    others = [vars(cell) | {"start": "", "data": "abc"} for cell in bench.runs()]
    assert list(bench_run(replace(bench, work=tmp_path / "elsewhere"), others)) == others


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--episodes", "0"], "episodes: got 0, expected 1 or more"),
        (["--processes", "-1"], "processes: got -1"),
        (["--steps", "3"], "steps: got 3, expected 5 or more"),
        (["--ratio", "2"], "ratio: got 2.0, expected above 0, 1 at most"),
        (["--more-ratios", "0.1,0"], "ratio: got 0.0"),
        (["--best", "full"], "best: got full, expected arms of a ratio"),
        (["--more-ratios", "x"], "--more-ratios: got x, expected numbers"),
        (["--first-seed", "99999"], "evaluation seed: got 100000"),
        (["--seeds", "a"], "--seeds: got a, expected numbers"),
        (["--seeds", ""], "seeds: got none"),
        (["--seeds", "1,-1"], "seeds: got -1, expected 0 or more"),
        (["--tasks", ","], "tasks: got none"),
        (["--ratio", "0.01"], "ratio: got 0.01, 0 of 30 frames"),
        (["--arms", "random_soft_episodes"], "arm: got random_soft"),
        (["--arms", "random_pixels"], "arm random_pixels: got real samples, expected a synthetic"),
        (["--arms", "uniform_ncfm_chunks_pixels"], "arm: got uniform_ncfm_chunks"),
        (["--arms", "weighted_ncfm_episodes"], "unit: got episodes by weighted_ncfm"),
        (["--teacher", "nowhere"], "nowhere"),
    ],
)
def test_what_a_table_cannot_be_of_is_said_first(bench, made, tmp_path, capsys, words, said):
    table = ["bench", "data", "--data", bench.data, "--work", str(bench.work), "--seeds", "1"]
    table += ["--tasks", "pick,reach", "--arms", "random", "--json", str(tmp_path / "table.json")]
    table += ["--config", str(yaml_file(tmp_path))]
    assert cli.main([*table, *words]) == 2
    assert said in capsys.readouterr().err
    assert not made and not bench.work.exists()


def test_what_is_asked_for_twice_is_trained_once() -> None:
    twice = replace(BENCH, arms=("random", "random"), seeds=(1, 1), best=("random",))
    runs = replace(twice, more_ratios=(0.05, 0.1)).runs()
    assert runs == [Run("random", 0.05, 1), Run("random", 0.1, 1)]


def test_rows_that_are_known_are_summed_up_once(bench, made, tmp_path, monkeypatch) -> None:
    summed = []

    def count(rows: list[dict], main: float) -> list[dict]:
        summed.append(len(rows))
        return summarise(rows, main)

    monkeypatch.setattr("vla_distill.benchmark.data_summary.summarise", count)
    monkeypatch.setattr("vla_distill.benchmark.data.step_seconds", lambda config: 0.0)
    arguments = bench_data.Data(
        data=Path(bench.data), config=yaml_file(tmp_path), tasks="pick, reach", seeds="1",
        arms="full, random, spread", work=bench.work, json=tmp_path / "table.json", docs=tmp_path,
    )  # fmt: skip
    for arms in (arguments.arms, arguments.arms, f"{arguments.arms},herding"):
        assert bench_data.main(replace(arguments, arms=arms)) == 0
    assert summed == [1, 2, 3, 3, 3, 4] and len(made) == 4


def test_time_counts_until_a_step_is_done_and_no_longer(tmp_path, monkeypatch) -> None:
    clock = iter([0.0, 2.0, 10.0, 13.0, 20.0, 29.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt), stopwatch(tmp_path, "score"):
        raise KeyboardInterrupt
    for _ in range(2):  # to the end, and once more to read what it left
        with stopwatch(tmp_path, "score"):
            pass
    assert spent(tmp_path) == {"score": 5.0}


def test_small_sets_get_a_fifth_of_the_steps_and_the_cost_is_told() -> None:
    runs = BENCH.runs()
    assert len(runs) == 3 * (len(ARMS) + 4) == len({run.name for run in runs})
    assert all(BENCH.steps(run) == (1000 if run.arm == FULL else 200) for run in runs)
    assert {run.ratio for run in runs if run.arm in (FULL, FULL_SHORT)} == {1.0}
    assert BENCH.steps(Run("spread_long", 0.05, 1)) == 1000  # as many as on all data
    told = cost(BENCH)
    assert told["steps"] == 3 * (1000 + 200 * (len(ARMS) + 3) + 150)
    assert told["episodes"] == len(runs) * 100 * 2
    pilot = cost(BENCH.pilot())
    assert pilot["steps"] * 25 < told["steps"] and pilot["trainings"] * 3 == len(runs)


def test_seeds_are_pooled_and_compared_with_full() -> None:
    row = {
        "commit": "c",
        "train_seconds": 60.0,
        "preprocess_seconds": 6.0,
        "ratio": 1.0,
        "episodes": 4,
        "seed": 1,
    }
    few = row | {"ratio": 0.05}
    rows = [
        row | {"arm": "full", "outcomes": {"reach": "1111"}, "success": 1.0},
        row | {"arm": "full", "outcomes": {"reach": "1100"}, "success": 0.5, "seed": 2},
        few | {"arm": "random", "outcomes": {"reach": "1101"}, "success": 0.75},
        few | {"arm": "herding", "outcomes": {"reach": "0101"}, "success": 0.5},
        few | {"arm": "herding", "ratio": 0.1, "outcomes": {"reach": "1111"}, "success": 1.0},
    ]
    full, more, random, herding = summarise([rows[3], *rows[:3], rows[4]], 0.05)
    assert (full["success"], full["each"], full["of_full"]) == (0.75, [1.0, 0.5], 1.0)
    assert full["outcomes"] == {"reach": "11111100"}
    assert random["of_full"] == 1.0 and random["low"] < 0.75 < random["high"]
    assert full["against"]["random"]["value"] == 0.25  # seed 1 alone has random samples
    assert random["against"] == {}  # but itself
    assert summarise(rows, 0.1)[0]["against"] == {}
    assert herding["against"]["random"]["value"] == -0.25
    assert more["against"] == {}  # no random tenth
    stratified = few | {"arm": "stratified_random", "outcomes": {"reach": "1001"}, "success": 0.5}
    other = summarise([*rows, stratified], 0.05)[3]["against"]
    assert other["random"]["value"] == -0.25 and other["stratified_random"]["value"] == 0.0
    assert summarise(rows[2:], 0.05)[0]["of_full"] is None  # full has not been trained
    origin = {"command": "vla", "machine": {"processor": "one", "cores": 2}}
    table = {"data": "d", "tasks": ["reach"], "episodes": 4, "rows": rows, "first_seed": 0}
    table |= {"ratio": 0.05}
    tilted = [row | {"lean": {"mm": mm, "error_mm": 0.5}} for row, mm in zip(rows, (1.0, 3.0))]
    assert "| 2.0 ± 0.5 mm |" in page(table | origin | {"steps": 10}, summarise(tilted, 0.05))
    text = page(table | origin | {"steps": 10}, summarise(rows, 0.05))
    assert "rows of commit c." in text
    assert "| `herding` | 5 % | 50.0 [15.0, 85.0] | 50.0 | 67 % | -25.0 [" in text
    assert "| `herding` | 10 % | 4 of 4 |" in text
    assert "| `full` | 100 % | 75.0 [" in text and "] | 100.0, 50.0 | 100 % |" in text
    assert "| `random` | 5 % | 75.0" in text and "nan" not in page(
        table | origin | {"steps": 10}, summarise(rows[2:], 0.05)
    )
