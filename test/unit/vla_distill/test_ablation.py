"""The ablation: a table that resumes, of made-up policies and episodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_distill.benchmark import ablation, comparison
from vla_distill.benchmark.ablation import AblationConfig, run
from vla_distill.benchmark.ablation_page import page
from vla_distill.benchmark.comparison_page import draw_pareto
from vla_distill.cli import main as cli
from vla_distill.cli.benches import ablation as bench_ablation
from vla_distill.errors import DistillError
from vla_distill.evaluation.episode import EpisodeResult
from vla_distill.evaluation.evaluation import Evaluation, EvaluationConfig
from vla_policy.checkpoint import save_policy
from vla_policy.contract import Observation
from vla_policy.model.policy import VlaPolicy


def observations(path: object, count: int, seed: int = 0) -> list[Observation]:
    image = np.full((32, 32, 3), 90, np.uint8)
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.57, 0.0, 0.08, 0.08], np.float32)
    images = {"front": image, "wrist": image}
    return [Observation(images, state, "pick up the red cube", 0.0) for _ in range(count)]


class Evaluator:
    """Stands for the closed loop: policies that compute less fail more often.

    Attributes:
        done: latencies and folders of what was evaluated.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def __call__(self, source, config: EvaluationConfig) -> Evaluation:
        policy = source()
        chunk = policy.infer(observations(None, 1), [policy.start(0)])[0]
        layers = len(chunk.report.layers_run)
        self.done.append((Path(config.out or "").name, config.latency))
        results = [
            EpisodeResult(
                task, seed, "", "", seed % 4 < layers, 1.0, "", 1.0, 10, 0, 0, 0,
                chunk.report.gflops,
            )
            for task in config.tasks
            for seed in range(config.seed, config.seed + config.episodes)
        ]  # fmt: skip
        return Evaluation(results, [1.0])


@pytest.fixture
def config(tmp_path, monkeypatch) -> AblationConfig:
    monkeypatch.setattr(ablation, "draw_observations", observations)
    folder = save_policy(VlaPolicy.random("test"), tmp_path / "policy")
    shallow = tmp_path / "shallow.yaml"
    shallow.write_text("methods: {layer_importance: {keep: 2}, few_steps: {steps: 1}}\n")
    return AblationConfig(
        policy=folder, data=tmp_path, work=tmp_path / "work", tasks=("reach", "pick"),
        recipes=(str(shallow),), others={"small_scratch": folder}, episodes=8, samples=2, chunks=2,
    )  # fmt: skip


def test_the_table_has_what_outside_scripts_read_and_resumes(config, monkeypatch, tmp_path) -> None:
    evaluator = Evaluator()
    monkeypatch.setattr(comparison, "evaluate", evaluator)
    rows = list(run(config))
    assert [row["name"] for row in rows] == ["plain", "shallow", "small_scratch"]
    plain, shallow, _ = rows
    assert (plain["success"], shallow["success"]) == (0.75, 0.5)
    assert plain["flops_ratio"] == plain["speedup"] == plain["amdahl_bound"] == 1.0
    assert 0.0 < shallow["flops_ratio"] < 1.0 < shallow["amdahl_bound"]
    assert shallow["low"] < shallow["success"] < shallow["high"]
    assert shallow["difference"]["value"] == shallow["measured_difference"]["value"] == -0.25
    assert shallow["outcomes"]["pick"] == "11001100"
    assert ("shallow_measured", "measured") in evaluator.done
    # Times and policies are kept; episodes are the journal's business.
    monkeypatch.setattr(ablation, "draw_observations", None)
    monkeypatch.setattr(comparison, "time_in_turns", None)
    assert json.dumps(list(run(config))) == json.dumps(rows)
    origin = {"command": "vla", "commit": "c", "machine": {"processor": "P", "cores": 2}}
    record = {"policy": "p", "episodes": 8, "seed": 0, "rows": rows, **origin}
    text = page(record, "pareto.png")
    assert "| shallow | 50.0 [" in text and "-25.0 [" in text
    assert "| shallow | 4, 4 |" in text
    still = [{k: v for k, v in row.items() if not k.startswith("measured_")} for row in rows]
    assert "| shallow | 4 |" in page({**record, "rows": still}, "pareto.png")
    draw_pareto(rows, tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 1000


def test_a_folder_of_another_policy_is_refused(config, monkeypatch) -> None:
    monkeypatch.setattr(comparison, "evaluate", Evaluator())
    list(run(config))
    save_policy(VlaPolicy.random("test", seed=1), config.policy)
    with pytest.raises(DistillError, match="remove the folder"):
        list(run(config))


def test_numbers_that_stand_are_not_lost(config, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(comparison, "evaluate", Evaluator())
    table = tmp_path / "table.json"
    arguments = bench_ablation.Ablation(
        config.policy, tmp_path, config.work, recipes=config.recipes[0], tasks="reach, pick",
        episodes=8, samples=2, chunks=2, json=table, docs=tmp_path,
    )  # fmt: skip
    assert bench_ablation.main(arguments) == 0
    more = replace(arguments, recipes="none", others=f"small={config.policy}")
    assert bench_ablation.main(more) == 0
    rows = json.loads(table.read_text())["rows"]
    assert [row["name"] for row in rows] == ["plain", "shallow", "small"]
    before = table.read_text()
    for other in ({"seed": 5}, {"tasks": "reach"}, {"latencies": "none"}):
        with pytest.raises(DistillError, match=f"table.json: {next(iter(other))}"):
            bench_ablation.main(replace(arguments, **other))
    save_policy(VlaPolicy.random("test", seed=1), config.policy)
    with pytest.raises(DistillError, match=r"table.json: policy_hash"):
        bench_ablation.main(arguments)
    assert table.read_text() == before
    table.write_text("{")
    with pytest.raises(DistillError, match=r"table.json: got .*, expected a table"):
        bench_ablation.main(arguments)


def test_other_policies_have_a_name_and_a_folder(capsys) -> None:
    words = ["bench", "ablation", "--policy", "p", "--data", "d", "--others", "student"]
    assert cli.main(words) == 2
    assert "--others: got student, expected NAME=DIR" in capsys.readouterr().err
