"""Fact tracing: by how much a training step on a sample lowers the loss on the reference.

FT-NCFM, Eq. 2: Score = - grad L(test)^T H^-1 grad L(train), the change of the reference's loss when
the sample weighs more. Its sign is turned here, so that **positive is helpful** and the best is the
largest. A tracer is a set of directions in the space of the weights, one a checkpoint; a score is
the sum of a sample's gradients' inner products with them, so scoring is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.gradients import Guide, Prepared, Weights, is_finite, norm

Direction = dict[str, Tensor]


class Tracer(Protocol):
    """One way to trace."""

    name: ClassVar[str]

    def directions(
        self,
        guides: Sequence[Guide],
        rates: Sequence[float],
        rows: NDArray[np.int64],
        reference: NDArray[np.int64],
        seed: int,
    ) -> list[Direction]:
        """One direction for each guide; all zero where a guide is not used.

        Args:
            guides: checkpoints, the last one trained longest.
            rates: their learning rates.
            rows: the samples.
            reference: frames whose loss shall fall.
            seed: of what is drawn.
        """
        ...


class Lissa:
    """H^-1 v by LiSSA (arXiv 1602.03943, as in arXiv 1703.04730): depth 50, damping 0.01, batch 32.

    H is the Gauss-Newton matrix instead of the Hessian: a guide of 15 % stands at no minimum, the
    Hessian has negative eigenvalues there, and LiSSA runs away along them. Curvature is scaled by
    its largest eigenvalue (power iteration), so the damping is relative to it.
    """

    name: ClassVar[str] = "lissa"
    depth, damping, batch = 50, 0.01, 32

    def directions(
        self,
        guides: Sequence[Guide],
        rates: Sequence[float],
        rows: NDArray[np.int64],
        reference: NDArray[np.int64],
        seed: int,
    ) -> list[Direction]:
        """See :class:`Tracer`; uses the last guide."""
        guide, rng = guides[-1], np.random.default_rng([seed, 13])

        def curvature(vector: Weights) -> Direction:
            return gauss_newton(guide, self._draw(guide, rng, rows), vector)

        first = self._draw(guide, rng, rows)
        gradient = guide.mean_gradient(reference)
        scale = largest_eigenvalue(lambda v: gauss_newton(guide, first, v), gradient)
        found = inverse_product(curvature, gradient, self.depth, self.damping, 2.0 * scale)
        return [*(_zero(found) for _ in guides[:-1]), found]

    def _draw(self, guide: Guide, rng: np.random.Generator, rows: NDArray[np.int64]) -> Prepared:
        """Some samples, without those whose gradient is not finite."""
        drawn = np.sort(rng.choice(rows, min(self.batch, len(rows)), replace=False))
        prepared = guide.prepare(drawn)
        return prepared.where(is_finite(guide.gradients(prepared)))


class TracIn:
    """TracInCP (arXiv 2002.08484, Eq. 1): sum over checkpoints of rate x inner product."""

    name: ClassVar[str] = "tracin"

    def directions(
        self,
        guides: Sequence[Guide],
        rates: Sequence[float],
        rows: NDArray[np.int64],
        reference: NDArray[np.int64],
        seed: int,
    ) -> list[Direction]:
        """See :class:`Tracer`; uses all guides."""
        means = [guide.mean_gradient(reference) for guide in guides]
        return [
            {name: rate * value for name, value in mean.items()}
            for rate, mean in zip(rates, means, strict=True)
        ]


class Projection:
    """TRAK's kernel (arXiv 2303.14186): the inverse of projected gradients' second moment.

    The projection is a count sketch (each weight is added, with a random sign, to one of ``size``
    numbers): it keeps inner products on average like TRAK's Gaussian one, without a matrix of
    weights x size. Its adjoint takes the reference back to the space of the weights.

    TRAK has no damping, but far more samples than directions. Here the moment is damped by its
    trace over the number of samples: so uncertain do so many samples leave each direction.
    """

    name: ClassVar[str] = "projection"
    size, samples = 512, 2048

    def directions(
        self,
        guides: Sequence[Guide],
        rates: Sequence[float],
        rows: NDArray[np.int64],
        reference: NDArray[np.int64],
        seed: int,
    ) -> list[Direction]:
        """See :class:`Tracer`; uses the last guide."""
        guide = guides[-1]
        sketch = Sketch(guide.weights, self.size, seed)
        picks = np.random.default_rng([seed, 17]).permutation(rows)[: self.samples]
        moment, count = torch.zeros(self.size, self.size), 0
        for at in range(0, len(picks), 64):
            each = sketch(guide.gradients(guide.prepare(np.sort(picks[at : at + 64]))))
            each = each[torch.isfinite(each).all(1)]
            moment += each.T @ each
            count += len(each)
        moment /= max(count, 1)
        moment += moment.trace() / max(count, 1) * torch.eye(self.size)
        gradient = guide.mean_gradient(reference)
        wanted = sketch({name: value[None] for name, value in gradient.items()})[0]
        found = sketch.adjoint(torch.linalg.solve(moment, wanted))
        return [*(_zero(found) for _ in guides[:-1]), found]


TRACERS: dict[str, type[Tracer]] = {kind.name: kind for kind in (Lissa, TracIn, Projection)}


def get_tracer(name: str) -> Tracer:
    """The tracer called ``name``.

    Raises:
        DataDistillationError: there is none.
    """
    if name not in TRACERS:
        raise DataDistillationError("tracer", got=name, expected=sorted(TRACERS))
    return TRACERS[name]()


def gauss_newton(guide: Guide, prepared: Prepared, vector: Weights) -> Direction:
    """Product with the Gauss-Newton matrix of the mean loss of some samples."""
    inputs = prepared.inputs.flatten(0, 1)
    batch, draws = prepared.inputs.shape[:2]

    def predict(weights: Weights) -> Tensor:
        return functional_call(guide.tail, dict(weights), (inputs,))

    out, tangent = jvp(predict, (guide.weights,), (dict(vector),))[:2]
    weight = prepared.foretold / (prepared.foretold.sum(1, keepdim=True) * draws * out.shape[-1])
    curved = 2.0 / max(batch, 1) * weight.repeat_interleave(draws, 0) * tangent
    pull = vjp(predict, guide.weights)[1]
    return pull(curved)[0]


def inverse_product(
    curvature: Callable[[Weights], Direction],
    vector: Weights,
    depth: int,
    damping: float,
    scale: float,
) -> Direction:
    """(H + damping scale)^-1 v by LiSSA.

    Args:
        curvature: product with H, or with an unbiased sample of it.
        vector: v.
        depth: iterations.
        damping: relative to ``scale``.
        scale: above H's largest eigenvalue.

    Raises:
        DataDistillationError: it ran away, or the vector is not finite.
    """
    estimate = {name: value.clone() for name, value in vector.items()}
    for _ in range(depth):
        curved = curvature(estimate)
        estimate = {
            name: vector[name] + (1.0 - damping) * estimate[name] - curved[name] / scale
            for name in vector
        }
    if not torch.isfinite(norm(estimate)):
        raise DataDistillationError(
            "inverse Hessian product", got="numbers that are not finite", expected="finite"
        )
    return {name: value / scale for name, value in estimate.items()}


def largest_eigenvalue(
    curvature: Callable[[Weights], Direction], start: Weights, rounds: int = 8
) -> float:
    """By power iteration."""
    vector, size = dict(start), norm(start)
    for _ in range(rounds):
        vector = curvature({name: value / size.clamp(min=1e-12) for name, value in vector.items()})
        size = norm(vector)
    return float(size.clamp(min=1e-8))


class Sketch:
    """A count sketch of gradients.

    Args:
        weights: for their shapes.
        size: numbers of a sketch.
        seed: of places and signs.
    """

    def __init__(self, weights: Weights, size: int, seed: int) -> None:
        self.size = size
        generator = torch.Generator().manual_seed(seed)
        self._shapes = {name: value.shape for name, value in weights.items()}
        count = sum(value.numel() for value in weights.values())
        self._place = torch.randint(size, (count,), generator=generator)
        self._sign = torch.randint(2, (count,), generator=generator).float() * 2.0 - 1.0

    def __call__(self, each: Weights) -> Tensor:
        """Gradients (B, ...) to sketches (B, size)."""
        flat = torch.cat([each[name].flatten(1) for name in self._shapes], dim=1)
        empty = flat.new_zeros(len(flat), self.size)
        return empty.index_add(1, self._place, flat * self._sign)

    def adjoint(self, sketch: Tensor) -> Direction:
        """A direction (...) whose inner product with a gradient is the sketches'. From (size,)."""
        flat = sketch[self._place] * self._sign
        sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        parts = flat.split(sizes)
        return {n: p.view(s) for (n, s), p in zip(self._shapes.items(), parts, strict=True)}


def _zero(like: Weights) -> Direction:
    return {name: torch.zeros_like(value) for name, value in like.items()}
