"""Training with fewer layers and tokens: what is left out, and what it must not change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_training import config, frames, rows, simulated

from vla_distill.errors import DistillError
from vla_distill.training.objective import gaze_loss
from vla_distill.training.thinning import Nested, Thin, ThinTokens, draw_plan, draw_tokens
from vla_distill.training.trainer import Trainer
from vla_policy.errors import PolicyError
from vla_policy.model.config import preset
from vla_policy.model.plan import FullCompute

MODEL = preset("test")
LAYERS = MODEL.language.layers


def test_as_many_batches_layers_and_tokens_are_left_out_as_was_asked(tmp_path: Path) -> None:
    asked = config(tmp_path, thin=0.5, thin_layers=0.25, thin_tokens=0.5)
    generator = torch.Generator().manual_seed(0)
    plans = [draw_plan(asked, MODEL, 8, generator) for _ in range(400)]
    thin = [plan for plan in plans if isinstance(plan, Thin)]
    assert 0.42 < len(thin) / len(plans) < 0.58
    kept = [plan.keep / MODEL.visual_tokens for plan in thin]
    assert 0.5 <= min(kept) < 0.56 and 0.94 < max(kept) <= 1.0
    assert 0.2 < 1.0 - torch.stack([plan._open for plan in thin]).mean() < 0.3
    assert draw_tokens(config(tmp_path), MODEL, generator) is None


def test_nested_layers_are_the_first_of_the_order_and_few_more_often(tmp_path: Path) -> None:
    order = [2, 0, 1]
    asked = config(tmp_path, thin=0.5, thin_order=order, thin_least=1, thin_tokens=0.5)
    generator = torch.Generator().manual_seed(0)
    plans = [draw_plan(asked, MODEL, 8, generator) for _ in range(600)]
    nested = [plan for plan in plans if isinstance(plan, Nested)]
    assert 0.42 < len(nested) / len(plans) < 0.58
    counts = [sum(plan.layers == set(order[:count]) for plan in nested) for count in (1, 2, 3)]
    assert sum(counts) == len(nested) and counts[0] > counts[1] > 0 == counts[2]
    with pytest.raises(DistillError, match="thin_least: got 4"):
        config(tmp_path, thin=0.5, thin_order=order, thin_least=4)
    with pytest.raises(DistillError, match="thin: got 0"):
        config(tmp_path, thin_order=order)
    with pytest.raises(PolicyError, match=f"every one of {LAYERS} layers"):
        Trainer(config(tmp_path, thin=0.5, thin_order=[0, 0, 1]), frames())


def test_a_share_of_the_thin_batches_keeps_all_tokens(tmp_path: Path) -> None:
    asked = config(tmp_path, thin=0.5, thin_tokens=0.25, thin_whole=0.6)
    generator = torch.Generator().manual_seed(0)
    thin = [plan for _ in range(800) if (plan := draw_tokens(asked, MODEL, generator))]
    whole = [plan for plan in thin if plan.keep == MODEL.visual_tokens]
    assert 0.42 < len(thin) / 800 < 0.58 and 0.5 < len(whole) / len(thin) < 0.7
    with pytest.raises(DistillError, match="thin_whole"):
        config(tmp_path, thin_whole=1.5)


def test_a_layer_outside_of_the_nested_ones_neither_runs_nor_learns(tmp_path: Path) -> None:
    order = list(reversed(range(LAYERS)))
    settings = {"thin": 1.0, "thin_order": order, "thin_least": LAYERS - 1}
    trainer = Trainer(config(tmp_path, **settings), frames())
    batch = trainer._load(trainer.samples.draw(0, 4, 0))
    trainer.objective.train()(batch, torch.Generator().manual_seed(0))["loss"].backward()
    language = trainer.objective.network.language
    learns = [any(p.grad is not None for p in layer.parameters()) for layer in language.layers]
    assert learns == [False] + [True] * (LAYERS - 1)
    assert trainer.policy().config.layer_order == tuple(order)


def test_the_network_runs_what_is_left_and_every_weight_has_a_gradient(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path, thin=1.0, thin_tokens=0.5), frames())
    batch = trainer._load(trainer.samples.draw(0, 4, 0))
    objective = trainer.objective.train()
    nothing_runs = Thin(4, torch.zeros(4, LAYERS))
    _, condition = objective.look(batch, torch.Generator().manual_seed(0), nothing_runs)
    assert condition.scores.shape[-1] == 4
    objective(batch, torch.Generator().manual_seed(0))["loss"].backward()
    # On several processes one that lacks a gradient would stall the others.
    assert [name for name, p in objective.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_gaze_counts_only_where_a_token_went_on(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path), *simulated())
    batch = trainer._load(trainer.samples.draw(0, 4, 0))
    assert batch.gaze is not None and batch.gaze.sum() > 0
    network = trainer.objective.network
    visual = network.see(batch.images)
    think = (batch.text, batch.text_mask, batch.state)
    whole = network.think(visual, *think, FullCompute())
    attention = whole.scores.float().view(batch.gaze.shape).log_softmax(-1)
    seen = batch.gaze.sum(-1).sum((0, 1)).clamp(min=1.0)
    plain = -((batch.gaze * attention).sum((0, 1, 3)) / seen).sum()
    assert gaze_loss(whole, batch.gaze) == pytest.approx(float(plain), rel=1e-6)
    some = network.think(visual, *think, ThinTokens(6))
    kept = torch.zeros(4, MODEL.visual_tokens).scatter(1, some.language.kept, 1.0)
    gone = (1.0 - kept).view(4, 1, *batch.gaze.shape[2:]).expand_as(batch.gaze)
    assert gaze_loss(some, batch.gaze * gone) == 0.0
    assert 0.0 < gaze_loss(some, torch.ones_like(batch.gaze)) < 50.0


def test_a_thin_run_resumes_and_a_share_that_is_none_is_named(tmp_path: Path) -> None:
    thin = {"thin": 0.7, "thin_tokens": 0.5}
    Trainer(config(tmp_path / "whole", **thin), frames()).run()
    part = Trainer(config(tmp_path / "parts", **thin), frames())
    part._resume()
    while part.step < 3:
        part.optimise()
        part.step += 1
    part._save_state()
    Trainer(config(tmp_path / "parts", **thin), frames()).run()
    assert rows(tmp_path / "whole")[3:] == rows(tmp_path / "parts")
    with pytest.raises(DistillError, match="thin_tokens"):
        config(tmp_path, thin_tokens=1.5)
    with pytest.raises(DistillError, match="above 0"):
        config(tmp_path, thin_tokens=0.0)
