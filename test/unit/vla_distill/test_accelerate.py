"""`vla accelerate` and `vla bench` on made-up policies and data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vla_distill import calibration
from vla_distill.benchmark import flops
from vla_distill.cli.main import main
from vla_policy.checkpoint import load_policy, policy_hash, save_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe, read_recipe
from vla_policy.errors import PolicyError
from vla_policy.model.config import preset
from vla_policy.model.policy import VlaPolicy

RECIPE = "methods: {layer_importance: {keep: 2}, mlp_sparsity: {}, task_diversity: {keep: 5}}\n"


def observations(path: object, count: int, seed: int, *, policy=None) -> list[Observation]:
    rng = np.random.default_rng(seed)
    image = {name: rng.integers(0, 256, (32, 32, 3), np.uint8) for name in ("front", "wrist")}
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.57, 0.0, 0.08, 0.08], np.float32)
    return [Observation(image, state, "pick up the red cube", 0.0) for _ in range(count)]


@pytest.fixture
def folder(tmp_path):
    return save_policy(VlaPolicy.random("test"), tmp_path / "policy")


def test_accelerate_writes_a_policy_that_follows_the_recipe(
    folder, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(calibration, "draw_observations", observations)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    out = tmp_path / "fast"
    words = ["--policy", str(folder), "--recipe", str(tmp_path / "mine.yaml"), "--out", str(out)]
    assert main(["accelerate", *words, "--data", "made up", "--samples", "4"]) == 0
    told = json.loads(capsys.readouterr().out)
    policy = load_policy(out)
    chunk = policy.infer(observations(None, 1, 0), [policy.start(0)])[0]
    assert len(chunk.report.layers_run) == 2 and chunk.report.visual_tokens == (8, 5)
    assert policy.plan.recipe.origin == load_policy(folder).policy_hash
    assert policy.policy_hash != load_policy(folder).policy_hash
    assert told["observations"] == 4 and 0.0 < told["ratio"] < 1.0
    assert "mine" in (out / "README.md").read_text()


def test_narrow_mlps_are_counted_once_when_a_policy_is_accelerated_again(
    folder, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(calibration, "draw_observations", observations)
    width, head = "mlp_sparsity: {}", "head_cache: {interval: 3}"
    told = {}
    for name, source, methods in (
        ("narrow", folder, width),
        ("again", tmp_path / "narrow", f"{width}, {head}"),
        ("at once", folder, f"{width}, {head}"),
    ):
        (tmp_path / "mine.yaml").write_text(f"methods: {{{methods}}}\n")
        words = ["--policy", str(source), "--recipe", str(tmp_path / "mine.yaml")]
        words += ["--out", str(tmp_path / name), "--data", "made up", "--samples", "4"]
        assert main(["accelerate", *words]) == 0
        told[name] = json.loads(capsys.readouterr().out)
    assert told["again"]["gflops"] == pytest.approx(told["at once"]["gflops"])
    # Of all that the first command made: the wide policy is not known any more.
    expected = told["again"]["gflops"] / told["narrow"]["gflops"]
    assert told["again"]["ratio"] == pytest.approx(expected) and expected < 1.0
    assert f"{expected:.1%} of the operations" in (tmp_path / "again" / "README.md").read_text()


def test_accelerate_never_writes_over_what_is_there(folder, tmp_path, capsys) -> None:
    other = save_policy(VlaPolicy.random("test", seed=1), tmp_path / "other")
    before = policy_hash(other)
    for out in (other, folder):
        words = ["--policy", str(folder), "--recipe", "few_steps", "--out", str(out)]
        assert main(["accelerate", *words]) == 2 and str(out) in capsys.readouterr().err
    assert policy_hash(other) == before


def test_accelerate_without_data_names_the_method_that_needs_it(folder, tmp_path, capsys) -> None:
    words = ["--policy", str(folder), "--recipe", "efficientvla", "--out", str(tmp_path / "fast")]
    assert main(["accelerate", *words]) == 2
    assert "layer_importance" in capsys.readouterr().err


def test_bench_flops_writes_what_outside_scripts_read(tmp_path) -> None:
    path = tmp_path / "flops.json"
    words = ["--preset", "tiny", "--recipe", "fastv", "--text", "8", "--json", str(path)]
    assert main(["bench", "flops", *words]) == 0
    record = json.loads(path.read_text())
    assert record["ratio"] == pytest.approx(record["gflops"] / record["base_gflops"])
    assert sum(record["stages"].values()) == pytest.approx(record["gflops"])
    assert record["stages"]["vision"] == record["base_stages"]["vision"]
    assert record["stages"]["language"] < record["base_stages"]["language"]
    assert record["activation_bytes"] < record["base_activation_bytes"]
    assert record["parameters"] == record["base_parameters"]


def test_counted_operations_are_those_that_a_policy_reports() -> None:
    policy = VlaPolicy.random("test")
    report = policy.infer(observations(None, 1, 0), [policy.start(0)])[0].report
    counted = flops.count(preset("test"), Recipe(), text_tokens=5)
    assert counted["gflops"] == pytest.approx(report.gflops, rel=0.01)
    numbers = sum(p.numel() for p in policy.network.parameters())
    assert counted["parameters"] == numbers


def test_a_still_scene_costs_what_a_policy_reports_in_one() -> None:
    recipe = Recipe.from_dict({"methods": {"vla_cache": {"reuse": 6, "at": 1}}})
    policy = accelerate(VlaPolicy.random("test"), recipe, [])
    seen, memory = observations(None, 1, 0), policy.start(0)
    first, again = (policy.infer(seen, [memory])[0].report.gflops for _ in range(2))
    counted = flops.count(preset("test"), recipe, text_tokens=5)
    assert counted["gflops"] == pytest.approx(again, rel=0.01) and again < first


def test_a_cached_head_reads_its_weights_less_often() -> None:
    cached = Recipe.from_dict({"methods": {"head_cache": {"interval": 3}}})
    plain, less = (flops.count(preset("test"), each, 5) for each in (Recipe(), cached))
    assert less["weight_bytes"] < plain["weight_bytes"]
    assert less["parameters"] == plain["parameters"]


def test_a_recipe_for_other_sizes_is_refused() -> None:
    with pytest.raises(PolicyError, match="layer_importance: keep"):
        flops.count(preset("tiny"), read_recipe("l22_t56"), 5)


def test_latency_compares_with_the_plain_policy(tmp_path) -> None:
    path = tmp_path / "latency.json"
    words = ["--preset", "test", "--recipes", "few_steps", "--chunks", "2", "--json", str(path)]
    recipe = tmp_path / "cheap.yaml"
    recipe.write_text("methods: {few_steps: {steps: 1}, deepest_layers: {keep: 1}}\n")
    words[3] = str(recipe)
    assert main(["bench", "latency", *words]) == 0
    plain, fast = json.loads(path.read_text())["rows"]
    assert (plain["name"], plain["speedup"]) == ("plain", 1.0)
    assert fast["gflops"] < plain["gflops"]
    for stage in ("vision", "language", "head", "rest", "total"):
        assert 0.0 < fast[stage]["median"] <= fast[stage]["p99"]


# EfficientVLA (arXiv 2506.10100, table 1): share of CogACT's operations left.
PAPER = {"l28_t112": 0.451, "l28_t56": 0.329, "l22_t112": 0.382, "l22_t56": 0.289}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PAPER)
def test_the_papers_table_comes_out(name: str) -> None:
    cost = flops.compare(preset("cogact_base"), read_recipe(name))
    assert cost["base_gflops"] == pytest.approx(4190, rel=0.03)
    assert cost["ratio"] == pytest.approx(PAPER[name], abs=0.015)
    if name == "l22_t56":
        assert cost["ratio"] <= 0.289
