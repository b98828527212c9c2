"""Statistics of features, as LeRobot keeps them: of each episode, and of all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import layout
from vla_distill.dataset.episode import EpisodeFrames

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
IMAGE_SAMPLES = 8
"""Frames of an episode that the image statistics look at."""

Statistics = dict[str, dict[str, Any]]


def of_vectors(values: NDArray[Any]) -> dict[str, Any]:
    """Statistics over the rows of (T, n) or (T,) numbers."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    result: dict[str, Any] = {
        "min": rows.min(0).tolist(),
        "max": rows.max(0).tolist(),
        "mean": rows.mean(0).tolist(),
        "std": rows.std(0).tolist(),
        "count": [len(rows)],
    }
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    result |= {name: row.tolist() for name, row in zip(QUANTILES, quantiles, strict=True)}
    return result


def of_images(images: NDArray[np.uint8]) -> dict[str, Any]:
    """Statistics a channel, shape (3, 1, 1), scaled to 0..1, over a sample of (T, H, W, 3)."""
    picks = np.linspace(0, len(images) - 1, min(IMAGE_SAMPLES, len(images))).round().astype(int)
    pixels = images[np.unique(picks), ::2, ::2].reshape(-1, 3)
    channels = [_of_levels(np.bincount(channel, minlength=256)) for channel in pixels.T]
    result: dict[str, Any] = {
        name: [[[channel[name]]] for channel in channels] for name in channels[0]
    }
    return result | {"count": [len(np.unique(picks))]}


def _of_levels(counts: NDArray[np.int64]) -> dict[str, float]:
    """Statistics of numbers k / 255 of which there are ``counts[k]``. Shape (256,)."""
    levels = np.arange(len(counts)) / 255.0
    present = levels[counts > 0]
    upto = np.cumsum(counts)
    total = upto[-1]
    mean = counts @ levels / total
    result = {
        "min": present[0],
        "max": present[-1],
        "mean": mean,
        "std": np.sqrt(counts @ (levels - mean) ** 2 / total),
    }
    # As np.quantile of the numbers themselves: between the two in order that are nearest.
    for name, share in QUANTILES.items():
        rank, more = divmod(share * (total - 1), 1)
        low, high = levels[np.searchsorted(upto, [rank, min(rank + 1, total - 1)], side="right")]
        result[name] = low + more * (high - low)
    return {name: float(value) for name, value in result.items()}


def of_episode(frames: EpisodeFrames) -> Statistics:
    """Statistics of what an episode brings itself (indices are added where they are known)."""
    vectors = {
        layout.STATE: frames.state,
        layout.ACTION: frames.action,
        layout.KEYPOINTS: frames.keypoints,
        layout.DISTURBANCE: frames.disturbance,
    }
    result = {key: of_vectors(values) for key, values in (vectors | dict(frames.chosen)).items()}
    return result | {layout.video_key(name): of_images(i) for name, i in frames.images.items()}


def aggregate(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Statistics of a whole from those of its parts; quantiles are their weighted means."""
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = counts / counts.sum()

    def stacked(name: str) -> NDArray[np.float64]:
        return np.array([part[name] for part in parts], np.float64)

    def weighted(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.tensordot(weights, values, 1), np.float64)

    means = stacked("mean")
    mean = weighted(means)
    variance = weighted(stacked("std") ** 2 + (means - mean) ** 2)
    return {
        "min": stacked("min").min(0).tolist(),
        "max": stacked("max").max(0).tolist(),
        "mean": mean.tolist(),
        "std": np.sqrt(variance).tolist(),
        "count": [int(counts.sum())],
        **{name: weighted(stacked(name)).tolist() for name in QUANTILES},
    }
