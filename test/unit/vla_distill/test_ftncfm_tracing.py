"""Laws of fact tracing: what helps comes out positive, copies are worth less, and the algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ftncfm_frames import frames, guide

from vla_distill.ftncfm.gradients import dot
from vla_distill.ftncfm.tracing import (
    TRACERS,
    Lissa,
    Sketch,
    gauss_newton,
    get_tracer,
    inverse_product,
    largest_eigenvalue,
)


@pytest.fixture(scope="module")
def planted():
    """Frames of which every fifth of the pool has the opposite label; the last ten are held out."""
    store = frames()
    wrong = np.arange(0, 20, 5)
    action = store.action.copy()
    action[wrong, :3] -= 6.0
    # One frame an episode, so that a wrong label is in one chunk only.
    alone = {"last_index": np.arange(len(store)), "episode_index": np.arange(len(store))}
    return replace(store, action=action, tasks=["pick"] * len(store), **alone), wrong


@pytest.mark.parametrize("name", sorted(TRACERS))
def test_wrong_labels_come_out_harmful_and_right_ones_helpful(
    planted, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lissa, "depth", 5)  # signs are right long before it converges
    store, wrong = planted
    judge, rows, reference = guide(store), np.arange(20), np.arange(20, 30)
    directions = get_tracer(name).directions([judge], [1.0], rows, reference, seed=0)
    score = dot(judge.gradients(judge.prepare(rows)), directions[0]).numpy()
    is_wrong = np.isin(rows, wrong)
    assert (score[is_wrong] < 0).all() and (score[~is_wrong] > 0).all()


def test_the_more_copies_of_a_sample_the_less_each_is_worth() -> None:
    def worth(copies: int) -> tuple[float, float]:
        """Scores of a copied sample and of a single one, equally wanted."""
        each = torch.tensor([[1.0, 0.0]] * copies + [[0.0, 1.0]])
        moment = each.T @ each / len(each)
        wanted = {"w": torch.tensor([1.0, 1.0])}
        found = inverse_product(lambda v: {"w": moment @ v["w"]}, wanted, 4000, 1e-3, 2.0)
        score = dot({"w": each}, found)
        return float(score[0]), float(score[-1])

    copied, single = zip(*(worth(copies) for copies in (1, 2, 8)), strict=True)
    assert copied[0] == pytest.approx(single[0])
    assert copied[0] > copied[1] > copied[2] and copied[2] < single[2] / 4


def test_lissa_is_the_exact_inverse_in_the_limit() -> None:
    half = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    matrix = half @ half.T / 6
    vector = {"w": torch.arange(6.0)}

    def curvature(v):
        return {"w": matrix @ v["w"]}

    scale = 1.1 * largest_eigenvalue(curvature, vector, rounds=100)
    found = inverse_product(curvature, vector, depth=3000, damping=0.01, scale=scale)
    exact = torch.linalg.solve(matrix + 0.01 * scale * torch.eye(6), vector["w"])
    torch.testing.assert_close(found["w"], exact, rtol=1e-3, atol=1e-3)


def test_curvature_is_symmetric_and_never_negative(planted) -> None:
    judge = guide(planted[0])
    prepared = judge.prepare(np.arange(4))
    generator = torch.Generator().manual_seed(1)
    u, v = (
        {k: torch.randn(w.shape, generator=generator) for k, w in judge.weights.items()}
        for _ in range(2)
    )
    hu, hv = gauss_newton(judge, prepared, u), gauss_newton(judge, prepared, v)

    def inner(a, b) -> float:
        return float(dot({k: x[None] for k, x in a.items()}, b))

    assert inner(u, hv) == pytest.approx(inner(hu, v), rel=1e-3)
    assert inner(u, hu) >= 0 and inner(v, hv) >= 0


def test_a_gradient_does_not_depend_on_its_block(planted) -> None:
    judge = guide(planted[0])
    together = judge.gradients(judge.prepare(np.array([3, 7, 9])))
    alone = judge.gradients(judge.prepare(np.array([7])))
    for name in together:
        torch.testing.assert_close(together[name][1:2], alone[name], rtol=1e-4, atol=1e-6)


def test_a_sketch_and_its_adjoint_agree(planted) -> None:
    weights = guide(planted[0]).weights
    generator = torch.Generator().manual_seed(2)
    each = {k: torch.randn(3, *w.shape, generator=generator) for k, w in weights.items()}
    sketch = Sketch(weights, 64, seed=0)
    point = torch.randn(64, generator=generator)
    torch.testing.assert_close(
        sketch(each) @ point, dot(each, sketch.adjoint(point)), rtol=1e-3, atol=1e-2
    )
