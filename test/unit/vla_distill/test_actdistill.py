"""Laws of teaching a student, on a handful of made-up frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import frames, rows

from vla_distill.actdistill import losses
from vla_distill.actdistill.config import StudentConfig
from vla_distill.actdistill.distillation import distill
from vla_distill.actdistill.gates import GATES, ChosenGates, Draw, RouterGates, straight_through
from vla_distill.actdistill.graph import log_edges
from vla_distill.actdistill.reader import LayerReader
from vla_distill.actdistill.stage_one import load_reader
from vla_distill.actdistill.stage_two import StudentTrainer
from vla_distill.actdistill.states import Trace
from vla_distill.actdistill.targets import TargetCache
from vla_distill.errors import DistillError
from vla_distill.training import trainer
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.errors import PolicyError
from vla_policy.model.config import RouterConfig
from vla_policy.model.network import VlaNetwork
from vla_policy.model.plan import FullCompute
from vla_policy.model.policy import VlaPolicy
from vla_policy.model.tokenizer import word_tokenizer, words_of


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer than these trainings; test_training.py draws one."""
    monkeypatch.setattr(trainer, "draw_curve", lambda log, picture, names: None)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = VlaPolicy.random("test")
    words = word_tokenizer(words_of(frames().instructions))
    return save_policy(
        VlaPolicy(made.network, words, made.statistics), tmp_path_factory.mktemp("teacher")
    )


def config(out: Path, teacher: Path, **changes) -> StudentConfig:
    values = {
        "data": "made up", "out": str(out), "teacher": str(teacher), "steps": 4, "batch": 4,
        "log_every": 1, "save_every": 4, "warmup": 1, "held_out": 0.2, "precision": "no",
        "threads": 1, "graph_steps": 2, "graph_width": 16, "semantics": 16, "graph_edges": 4,
        "router_width": 8, "budget": 0.5, "budget_fall": 0.3, "settled": 0.0, "head_steps": 0,
        "thin": 0.6,
    }  # fmt: skip
    return StudentConfig(**{**values, **changes})


# Gates.


class Closed(ChosenGates):
    """Fixed answers."""

    method = "none"

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__(Draw(values.shape[1], 0.5, 0.0, torch.Generator()))
        self._fixed = values

    def choose(self, tokens):
        return self._fixed


@pytest.fixture(scope="module")
def student(teacher: Path) -> StudentTrainer:
    """One that has not begun: the teacher with a router."""
    settings = config(teacher / "none", teacher, imitates="nothing")
    return StudentTrainer(settings, frames(), None, None)


def condition(network: VlaNetwork, batch, plan) -> torch.Tensor:
    with torch.no_grad():
        visual = network.see(batch.images)
        return network.think(visual, batch.text, batch.text_mask, batch.state, plan).tokens


def test_with_all_gates_open_the_student_is_the_teacher_to_the_bit(student, teacher) -> None:
    batch = student._load(np.arange(3))
    network = student.accelerator.unwrap_model(student.objective).network.eval()
    plain = condition(load_policy(teacher).network, batch, FullCompute())
    draw = Draw(3, 0.5, 0.0, torch.Generator())
    with torch.no_grad():  # at birth every score is positive
        network.language.router.score.weight.zero_()
    assert torch.equal(plain, condition(network, batch, RouterGates(draw)))
    assert torch.equal(plain, condition(network, batch, Closed(torch.ones(3, 3))))


def test_a_gate_in_training_is_the_same_gate_at_inference(student) -> None:
    batch = student._load(np.arange(3))
    network = student.accelerator.unwrap_model(student.objective).network.eval()
    values = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]])
    soft, hard = (condition(network, batch, Closed(each)) for each in (values, values.bool()))
    torch.testing.assert_close(soft, hard, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(soft[0], condition(network, batch, FullCompute())[0])


def test_a_gradient_passes_straight_through_a_hard_gate() -> None:
    logits = torch.tensor([-2.0, 0.3, 1.0], requires_grad=True)
    gate = straight_through((logits >= 0).float(), logits.sigmoid())
    assert gate.tolist() == [0.0, 1.0, 1.0]
    (gate * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    slope = logits.sigmoid() * (1 - logits.sigmoid())
    torch.testing.assert_close(logits.grad, slope.detach() * torch.tensor([1.0, 2.0, 3.0]))


def test_a_closed_layer_still_tells_its_gate_what_it_would_do(student) -> None:
    batch = student._load(np.arange(3))
    network = student.accelerator.unwrap_model(student.objective).network
    values = torch.zeros(3, 3, requires_grad=True)
    visual = network.see(batch.images)
    found = network.think(visual, batch.text, batch.text_mask, batch.state, Closed(values))
    found.tokens.square().sum().backward()
    assert (values.grad != 0).all()
    network.zero_grad()


@pytest.mark.parametrize("name", ["top_k", "random"])
def test_rules_of_k_layers_run_k_layers(student, name: str) -> None:
    batch = student._load(np.arange(8))
    network = student.accelerator.unwrap_model(student.objective).network
    gates = GATES[name](Draw(3, 0.67, 1.0, torch.Generator().manual_seed(0)))
    condition(network, batch, gates)
    assert (gates.values.sum(1) == 2).all() and len(gates.values.unique(dim=0)) > 1


@pytest.mark.parametrize("name", ["router", "top_k", "random"])
def test_settled_gates_meet_the_budget_and_only_what_runs_is_computed(student, name: str) -> None:
    batch = student._load(np.arange(8))
    network = student.accelerator.unwrap_model(student.objective).network
    network.zero_grad()
    # Another test makes all scores equal.
    chance = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(network.language.router.score.weight, generator=chance)
    gates = GATES[name](Draw(3, 0.34, 0.0, torch.Generator().manual_seed(0), settled=True))
    visual = network.see(batch.images)
    found = network.think(visual, batch.text, batch.text_mask, batch.state, gates)
    if gates.logits is None or name == "top_k":
        assert (gates.values.sum(1) == 1).all()
    else:  # the upper third of all scores, and of each row the highest
        edge = gates.logits.flatten().sort().values[-8]
        highest = gates.logits == gates.logits.amax(1, keepdim=True)
        assert torch.equal(gates.values > 0, (gates.logits >= edge) | highest)
    assert not gates.values.requires_grad  # the router learns no more
    ran = [tuple(row.nonzero()[:, 0].tolist()) for row in gates.values]
    assert list(found.language.layers_run) == ran
    found.tokens.square().sum().backward()
    for layer, opened in zip(network.language.layers, gates.values.sum(0), strict=True):
        assert (layer.mlp.up_proj.weight.grad is not None) == bool(opened > 0)
    network.zero_grad()


def test_where_routes_stand_only_the_task_is_learned(tmp_path: Path, teacher: Path) -> None:
    distill(config(tmp_path, teacher, settled=0.5, gate_noise=1.0), frames())
    before, after = rows(tmp_path)[:2], rows(tmp_path)[2:]
    assert all("semantic" in row for row in before) and not any("semantic" in row for row in after)
    assert [row["budget"] for row in after] == [pytest.approx(0.0, abs=0.1)] * 2
    assert load_policy(tmp_path / "policy").plan.recipe.methods[0].name == "layer_router"


# Losses.


def test_the_budget_loss_is_zero_at_the_target_and_only_there() -> None:
    costs = torch.tensor([0.5, 0.25, 0.25])
    gates = torch.tensor([[1.0, 0, 0], [0, 1.0, 1.0]])  # half of the cost, in two ways
    assert losses.budget_loss(gates, costs, 0.5) == 0.0
    assert losses.budget_loss(gates, costs, 0.4) > 0.0
    other = torch.tensor([[1.0, 1, 0], [0, 0, 1.0]])  # one takes more, another less: still half
    assert losses.budget_loss(other, costs, 0.5) == 0.0


def test_who_says_what_the_teacher_says_loses_nothing() -> None:
    semantics, actions = torch.randn(5, 3, 8), torch.randn(5, 3, 16, 10)
    torch.testing.assert_close(losses.semantic_loss(semantics, semantics, 0.5), torch.zeros(3))
    assert (losses.semantic_loss(semantics, semantics.flip(0), 0.5) > 0.1).all()
    truth = actions[:, 0]
    same = actions[:, :1].expand(-1, 3, -1, -1)
    assert (losses.action_loss(same, same, truth, torch.ones(5, 16, 1)) == 0).all()
    hidden, there = torch.randn(2, 7, 4), torch.ones(2, 7, dtype=torch.bool)
    assert losses.hidden_loss(hidden, hidden, there) == 0.0


def test_deep_layers_weigh_more_and_all_together_one_each() -> None:
    weights = losses.depth_weights(12, 2.0)
    assert weights[0] == 0.0 and (weights.diff() > 0).all()
    assert float(weights.mean()) == pytest.approx(1.0)


def test_a_static_mask_has_no_variation_and_a_coin_toss_has_all() -> None:
    assert losses.gate_variation(torch.tensor([[1.0, 0], [1, 0]])) == 0.0
    assert losses.gate_variation(torch.tensor([[1.0, 0], [0, 1]])) == 1.0
    assert float(losses.gate_entropy(torch.zeros(2, 3))) == pytest.approx(1.0)
    assert float(losses.gate_entropy(torch.full((2, 3), 40.0))) == pytest.approx(0.0, abs=1e-6)


# Graph.


def test_edges_are_a_distribution_over_the_k_most_alike_that_are_present() -> None:
    nodes = 30.0 * torch.randn(2, 9, 4)  # exp of the plain product would overflow
    present = torch.ones(2, 9, dtype=torch.bool)
    present[0, :3] = False
    edges = log_edges(nodes, nodes, present, 4).exp()
    torch.testing.assert_close(edges.sum(-1), torch.ones(2, 9))
    assert ((edges > 0).sum(-1) <= 4).all() and (edges[0, :, :3] == 0).all()


def test_padding_is_not_read(student, teacher) -> None:
    reader = LayerReader(student.model, config(teacher, teacher)).eval()
    states = [torch.randn(1, 6, 32) for _ in range(3)]
    padded = [torch.cat([torch.full((1, 2, 32), 9.0), each], dim=1) for each in states]
    there = torch.ones(1, 8, dtype=torch.bool)
    there[:, :2] = False
    for one, other in zip(reader(states, [there[:, 2:]] * 3), reader(padded, [there] * 3)):
        torch.testing.assert_close(one, other)


def test_a_layer_that_is_left_out_hands_on_what_it_got(student) -> None:
    batch = student._load(np.arange(2))
    network = student.accelerator.unwrap_model(student.objective).network.eval()
    trace = Trace(Closed(torch.tensor([[1.0, 0, 1]] * 2)))
    with torch.no_grad():
        visual = network.see(batch.images)
        found = network.think(visual, batch.text, batch.text_mask, batch.state, trace)
    states = trace.states(found.language)
    assert len(states) == 3 and torch.equal(states[0], states[1])
    assert not torch.equal(states[1], states[2])


# Targets.


def test_targets_are_computed_once(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def compute(wanted):
        asked.append(wanted.tolist())
        return {"a": np.stack([np.full(2, row) for row in wanted])}

    def cache(**key):
        return TargetCache(tmp_path, {"teacher": "x", **key}, {"a": (2,)}, 10)

    first = cache().get(np.array([3, 1, 3]), compute)["a"]
    again = cache().get(np.array([1, 4]), compute)["a"]
    assert first[:, 0].tolist() == [3, 1, 3] and again[:, 0].tolist() == [1, 4]
    assert asked == [[1, 3], [4]]
    with pytest.raises(DistillError, match="another folder"):
        cache(teacher="y")


# Runs.


def test_the_student_runs_from_its_folder_and_holds_no_graph(tmp_path, teacher) -> None:
    distill(config(tmp_path, teacher), frames())
    weights = load_file(tmp_path / "policy" / "model.safetensors")
    known = set(load_file(teacher / "model.safetensors"))
    assert {name.split(".")[1] for name in set(weights) - known} == {"router"}
    assert known <= set(weights)
    policy = load_policy(tmp_path / "policy")
    assert policy.plan.default.language_layers == 2 and len(policy.plan.recipe.thresholds) == 2
    log = rows(tmp_path)
    assert {"semantic", "probes", "budget", "layers", "gate_entropy", "gate_variation"} <= set(
        log[-1]
    )
    assert json.loads((tmp_path / "graph" / "log.jsonl").read_text().splitlines()[-1])["step"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"gates": "deepest", "imitates": "nothing"},
        {"gates": "deepest", "imitates": "hidden", "thin": 0.0},
        {"gates": "top_k"},
        {"gates": "random"},
        {"graph_layers": 0},
    ],
    ids=str,
)
def test_rivals_and_ablations_are_options_of_the_same_run(tmp_path, teacher, changes) -> None:
    distill(config(tmp_path, teacher, steps=2, **changes), frames())
    policy = load_policy(tmp_path / "policy")
    assert policy.plan.recipe.methods[0].name == GATES[changes.get("gates", "router")].method
    assert policy.config.router == (
        None if changes.get("gates") in ("deepest", "random") else RouterConfig(8)
    )


def test_a_resumed_student_equals_an_uninterrupted_one(tmp_path, teacher) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    distill(config(whole, teacher), frames())
    shared = {"graph": str(whole / "graph"), "cache": str(whole / "targets")}
    settings = config(parts, teacher, **shared)
    reader = load_reader(whole / "graph", load_policy(teacher).config, settings)
    half = StudentTrainer(settings, frames(), None, reader)
    half._resume()
    while half.step < 2:
        half.optimise()
        half.step += 1
    (parts / "log.jsonl").write_text("")
    half._save_state()
    StudentTrainer(settings, frames(), None, reader).run()
    one, other = (
        (folder / "policy" / "model.safetensors").read_bytes() for folder in (whole, parts)
    )
    assert one == other
    assert rows(whole)[2:] == rows(parts)


def test_one_batch_can_be_overfitted(tmp_path, teacher) -> None:
    few = frames(episodes=1, length=4)
    settings = config(
        tmp_path, teacher, steps=100, graph_steps=200, held_out=0.0, log_every=10, save_every=200,
        brightness=0.0, contrast=0.0, learning_rate=3e-3, budget=0.67,
    )  # fmt: skip
    distill(settings, few)
    graph, log = rows(tmp_path / "graph"), rows(tmp_path)
    assert graph[-1]["loss"] < 0.5 * graph[0]["loss"]
    assert log[-1]["velocity"] < 0.6 * log[0]["velocity"]
    assert log[-1]["layers"] == pytest.approx(0.67, abs=0.15)


def test_what_cannot_teach_or_be_taught_is_named(tmp_path, teacher) -> None:
    with pytest.raises(DistillError, match=r"gates: got coin, expected.*router"):
        config(tmp_path, teacher, gates="coin")
    with pytest.raises(DistillError, match="budget"):
        config(tmp_path, teacher, budget=1.5)
    with pytest.raises(DistillError, match="semantic_weight"):
        config(tmp_path, teacher, semantic_weight=-1.0)
    distill(config(tmp_path, teacher, imitates="nothing"), frames())
    for imitates in ("nothing", "graph"):
        with pytest.raises(PolicyError, match="expected a plain one"):
            distill(config(tmp_path / "b", tmp_path / "policy", imitates=imitates), frames())
    assert not (tmp_path / "b").exists()  # said before anything is trained


def test_a_student_can_be_taught_with_fewer_visual_tokens(tmp_path, teacher) -> None:
    settings = config(tmp_path, teacher, thin=1.0, thin_tokens=0.5)
    taught = distill(settings, frames())
    drawn = taught.samples.draw(0, 4, 0)
    batch = taught._prepared(drawn, taught._load(drawn))
    seen: list[int] = []
    ask = taught.objective.network.grounding.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[1].shape[1])
    )
    for seed in range(8):
        taught.objective.train()(batch, torch.Generator().manual_seed(seed))
    ask.remove()
    whole = taught.model.visual_tokens
    assert min(seen) < whole and all(whole // 2 <= count <= whole for count in seen)
    assert all(np.isfinite(row["semantic"]) for row in rows(tmp_path))
    with pytest.raises(DistillError, match="hidden"):
        config(tmp_path, teacher, thin=0.5, imitates="hidden")
    with pytest.raises(DistillError, match="gates choose"):
        config(tmp_path, teacher, thin=0.5, thin_order=[1, 0, 2])
