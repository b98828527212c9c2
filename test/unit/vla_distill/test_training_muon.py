"""Laws of the optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vla_distill.training.muon import MuonAdamW, orthogonal, parameter_groups

SHAPES = [(40, 40), (40, 96), (96, 40)]


@pytest.mark.parametrize(("bf16", "astray"), [(False, 1e-3), (True, 0.1)])
@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one_and_vectors_stay(
    shape: tuple[int, int], bf16: bool, astray: float
) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices, bf16)
    assert found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    assert values.max() < 1.3 and values.median() > 0.6
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ found @ vh.mT
    away = turned - torch.diag_embed(torch.diagonal(turned, dim1=1, dim2=2))
    assert away.abs().max() < astray


@pytest.mark.parametrize("shape", SHAPES)
def test_together_is_one_by_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    singly = torch.cat([orthogonal(each[None]) for each in matrices])
    torch.testing.assert_close(orthogonal(matrices), singly, rtol=1e-4, atol=1e-5)


def test_a_step_is_as_large_as_one_of_adamw() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 128, bias=False)
    before = layer.weight.detach().clone()
    optimizer = MuonAdamW(parameter_groups(layer, 0.0, True), lr=0.01, betas=(0.9, 0.95))
    layer(torch.randn(256, 64)).square().sum().backward()
    optimizer.step()
    size = (layer.weight - before).square().mean().sqrt().item()
    assert 0.1 * 0.01 < size < 0.4 * 0.01


def test_only_hidden_matrices_are_orthogonalised() -> None:
    model = nn.Sequential(nn.Embedding(50, 64), nn.Linear(64, 64), nn.Conv2d(64, 64, 3))
    model.append(nn.Linear(64, 10))
    groups = parameter_groups(model, 0.1, True)
    assert [p.shape for p in groups[0]["params"]] == [(64, 64)]
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert not any(group.get("muon") for group in parameter_groups(model, 0.1, False))
