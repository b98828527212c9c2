"""The table of students: of made-up trainings and episodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from test_ablation import Evaluator, observations

from vla_distill.actdistill.config import StudentConfig
from vla_distill.benchmark import comparison, distillation
from vla_distill.benchmark.comparison import recipe_of
from vla_distill.benchmark.comparison_page import table
from vla_distill.benchmark.distillation import (
    ARMS,
    RIVALS,
    DistillationConfig,
    run,
    summary,
    trainings,
)
from vla_distill.benchmark.distillation_page import draw_arms, page
from vla_distill.cli.benches import standing
from vla_distill.errors import DistillError
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe
from vla_policy.model.config import RouterConfig
from vla_policy.model.network import VlaNetwork
from vla_policy.model.policy import VlaPolicy


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DistillationConfig:
    monkeypatch.setattr(distillation, "draw_observations", observations)
    monkeypatch.setattr(comparison, "evaluate", Evaluator())
    teacher = save_policy(VlaPolicy.random("test"), tmp_path / "teacher")
    student = StudentConfig(data="made up", out="", teacher=str(teacher), steps=50, budget=0.67)
    return DistillationConfig(
        student=student, work=tmp_path / "work", tasks=("reach", "pick"), episodes=8, chunks=2,
        samples=2, seeds=(0, 1), arms=("student", "random_gates"),
    )  # fmt: skip


def trained(student: StudentConfig, processes: int) -> None:
    """In the place of a training: the teacher, with a router that knows nothing."""
    teacher = load_policy(student.teacher)
    network = VlaNetwork(replace(teacher.config, router=RouterConfig(8)))
    network.load_state_dict(teacher.network.state_dict(), strict=False)
    routed = VlaPolicy(network, teacher.tokenizer, teacher.statistics)
    recipe = Recipe.from_dict({"methods": {"layer_router": {"keep": student.budget}}})
    save_policy(accelerate(routed, recipe, observations(Path(), 4)), Path(student.out) / "policy")


def test_rivals_are_trained_with_every_seed_and_share_what_a_seed_has_in_common(config) -> None:
    found = trainings(config)
    assert list(found) == ["student", "student#1", "random_gates"]
    assert len({each.out for each in found.values()}) == 3
    assert found["student"].graph == found["random_gates"].graph != found["student#1"].graph
    assert found["student"].stage_one() == found["random_gates"].stage_one()
    assert {each.steps for each in found.values()} == {50}  # the same for all


def test_every_arm_is_launched_with_a_configuration_that_can_be_read_again(
    monkeypatch, tmp_path
) -> None:
    launched = []

    def started(command: list[str], env: dict[str, str], check: bool) -> CompletedProcess:
        launched.append(StudentConfig.read(command[-1]))
        assert "distill-policy" in command and "--nproc_per_node=2" in command
        assert env["OMP_NUM_THREADS"] == "1"
        return CompletedProcess(command, 0)

    monkeypatch.setattr("subprocess.run", started)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arms = [StudentConfig(data="d", out=str(tmp_path / k), **v) for k, v in ARMS.items()]
    for student in arms:
        distillation.train(student, processes=2)
    assert launched == arms
    assert set(RIVALS) <= set(ARMS)


def test_a_training_that_fails_says_which(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("subprocess.run", lambda command, **_: CompletedProcess(command, 3))
    with pytest.raises(DistillError, match=r"training of .*broken: got exit code 3"):
        distillation.train(StudentConfig(data="d", out=str(tmp_path / "broken")), processes=1)


def test_the_table_compares_with_the_teacher_and_sums_up_seeds(config, monkeypatch) -> None:
    monkeypatch.setattr(distillation, "train", trained)
    rows = list(run(config))
    names = ["plain", "student", "student#1", "random_gates", "layer_importance", "student_fast"]
    assert [row["name"] for row in rows] == names
    assert rows[1]["difference"]["value"] == -0.25
    fast = recipe_of(load_policy(config.work / "students" / "student_fast" / "policy"))
    assert fast.name == "student_fast" and fast.method("visual_tokens").name == "task_diversity"
    arms = {row["arm"]: row for row in summary(rows)}
    assert arms["student"]["seeds"] == 2 and arms["student"]["success"] == 0.5
    assert arms["student"]["lead"] is None and arms["random_gates"]["lead"]["value"] == 0.0
    assert arms["layer_importance"]["lead"]["value"] == 0.5 - arms["layer_importance"]["success"]
    low = arms["student"]["difference"]["low"]
    assert low < arms["student"]["difference"]["value"]  # of both seeds, on the same episodes
    rows = [{"commit": "c", **row} for row in rows]
    record = {
        "rows": rows, "summary": summary(rows), "teacher": "t",
        "configuration": {"budget": 0.5, "steps": 50}, "episodes": 8, "seed": 0, "seconds": 3600.0,
        "command": "vla", "machine": {"processor": "P", "cores": 2},
    }  # fmt: skip
    text = page(json.loads(json.dumps(record)), "picture.png")
    assert "| student | 2 | 50.0 | -25.0 [" in text and "| student#1 | 50.0 [" in text
    assert "with measured latency" in text


def test_latency_is_measured_only_if_asked_for(config, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(distillation, "train", trained)
    rows = list(run(replace(config, latencies=("none",))))
    assert not any("measured_success" in row for row in rows)
    lines = table(rows, "training", "the teacher")
    assert lines[0].count("against the teacher") == 1
    assert {each.count("|") for each in lines} == {7}
    draw_arms(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    with pytest.raises(DistillError, match="latencies"):
        list(run(replace(config, latencies=("measured",))))


def test_rows_that_stand_are_kept_and_nothing_is_trained_for_them(config, monkeypatch) -> None:
    monkeypatch.setattr(distillation, "train", trained)
    before = list(run(config))
    asked = []

    def training(student: StudentConfig, processes: int) -> None:
        asked.append(Path(student.out).name)
        trained(student, processes)

    monkeypatch.setattr(distillation, "train", training)
    more = {
        "work": config.work.with_name("elsewhere"),
        "arms": ("student", "top_k_router"),
        "known": {row["name"]: row for row in before},
    }
    rows = list(run(replace(config, **more)))
    assert asked == ["top_k_router_seed0"]
    assert rows[:-1] == before and rows[-1]["name"] == "top_k_router"
    assert rows[-1]["difference"]["value"] == rows[-1]["success"] - before[0]["success"]
    assert rows[-1]["flops_ratio"] < 1.0


def test_a_seed_has_a_row_of_its_own_also_where_it_is_asked_for_alone(config) -> None:
    assert list(trainings(replace(config, seeds=(1,)))) == ["student#1", "random_gates#1"]


def test_all_rows_are_timed_again_in_one_run(config, monkeypatch) -> None:
    monkeypatch.setattr(distillation, "train", trained)
    rows = list(run(config))
    asked = []

    def timed(policies: dict, chunks: int, seen: list) -> dict:
        asked.append(list(policies))
        return {name: {"speedup": 9.0} for name in policies}

    monkeypatch.setattr(distillation, "time_all", timed)
    again = distillation.retimed(config, rows)
    assert asked == [[row["name"] for row in rows]]
    assert all(row["speedup"] == 9.0 for row in again)
    kept = [key for key in rows[0] if key != "speedup"]
    assert [{k: r[k] for k in kept} for r in again] == [{k: r[k] for k in kept} for r in rows]


def test_a_row_of_another_policy_does_not_stand(config, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(distillation, "train", trained)
    other = save_policy(VlaPolicy.random("test", seed=1), tmp_path / "other")
    config = replace(config, arms=(), others={"small": other})
    before = {row["name"]: row for row in run(config)}
    again = replace(config, known=before)
    assert list(run(again)) == list(before.values())
    old = before["small"]["policy_hash"]
    save_policy(VlaPolicy.random("test", seed=2), other)
    rows = {row["name"]: row for row in run(again)}
    assert list(rows) == list(before) and rows["small"]["policy_hash"] != old


def test_a_record_made_under_other_conditions_is_not_overwritten(tmp_path) -> None:
    path = tmp_path / "record.json"
    assert not standing(path, {"seed": 0})
    path.write_text('{"seed": 0, "rows": []}')
    assert standing(path, {"seed": 0})["rows"] == []
    with pytest.raises(DistillError, match=r"record.json: seed: got 5, expected 0"):
        standing(path, {"seed": 5})


def test_a_pilot_is_a_tenth_in_a_folder_of_its_own(config) -> None:
    pilot = config.pilot()
    assert pilot.student.steps == 5 and pilot.student.graph_steps == 40
    assert pilot.work == config.work / "pilot"


def test_an_unknown_arm_lists_the_known(config) -> None:
    with pytest.raises(DistillError, match=r"arm: got coin.*random_gates"):
        DistillationConfig(student=config.student, work=config.work, tasks=(), arms=("coin",))
