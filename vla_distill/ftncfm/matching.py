"""NCFM: synthetic samples whose distribution is that of the weighted real ones (FT-NCFM, Eq. 7).

**What a synthetic sample is.** The paper does not say. Here it is a real sample, chosen by weight,
of which the pixels of all cameras and the chunk of actions are free, and moved by gradient descent
until the synthetic set's characteristic function agrees with the weighted real set's on
h = Phi(V, L, A), the guide's features and the action. Instruction, measured state, scene and frame
stay those of the real sample: a sentence cannot be moved a little, and so the simulator's truth,
which training's losses on what is where need, stays nearly true of the picture.

Each task and phase is matched by itself, so that a set for pick is not paid for by one for place,
and so that memory is a group's. A finished group is kept on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_distill.dataset.synthetic import SyntheticEpisode, write_synthetic
from vla_distill.ftncfm.discrepancy import ALPHA, Frequencies, characteristic, discrepancy
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.gradients import Guide
from vla_distill.ftncfm.pool import Pool
from vla_distill.ftncfm.workfolder import write_arrays
from vla_distill.training.samples import Batch

BLOCK = 4096
"""Real samples whose characteristic function is computed together."""


@dataclass(frozen=True)
class MatchConfig:
    """How synthetic samples are made.

    Attributes:
        rounds: how often each sample is moved.
        batch: synthetic samples moved together.
        real: real samples that they are held against, drawn by weight.
        pixel_rate, action_rate: Adam's, on pixels in [-1, 1] and standardised actions; 0 leaves
            them as they were.
        adversary_rate: Adam's, of the frequency network.
        alpha: of amplitude against phase.
        adversarial: whether frequencies are learned.
    """

    rounds: int = 20
    batch: int = 32
    real: int = 256
    pixel_rate: float = 5e-3
    action_rate: float = 1e-2
    adversary_rate: float = 1e-3
    alpha: float = ALPHA
    adversarial: bool = True

    def check(self) -> None:
        """Refuse numbers that cannot be.

        Raises:
            DataDistillationError: the number is named.
        """
        least = {"rounds": 0, "batch": 1, "real": 1, "pixel_rate": 0.0, "action_rate": 0.0}
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                got = getattr(self, name)
                raise DataDistillationError(name, got=got, expected=f"{bound} or more")


def match(
    guide: Guide,
    pool: Pool,
    features: NDArray[np.floating],
    weight: NDArray[np.floating],
    chosen: NDArray[np.int64],
    config: MatchConfig,
    folder: Path,
    seed: int,
) -> Iterator[tuple[int, int]]:
    """Make the synthetic samples of each group that is not there yet.

    Args:
        guide: whose features are matched.
        pool: the real samples.
        features: of the pool's samples. Shape (M, F).
        weight: of the pool's samples. Shape (M,).
        chosen: which of them synthetic samples begin as.
        config: how.
        folder: where groups are kept.
        seed: of frequencies and draws.

    Yields:
        Samples done and samples wanted, after each group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups, done = np.unique(pool.group[chosen]), 0
    for number in groups:
        path = folder / f"group_{number:04d}.npz"
        start = np.sort(chosen[pool.group[chosen] == number])
        if not path.is_file():
            own = np.flatnonzero(pool.group == number)
            arrays = match_group(
                guide, pool.rows[start], features[own], weight[own], config, seed + int(number)
            )
            write_arrays(path, arrays)
        done += len(start)
        yield done, len(chosen)


def match_group(
    guide: Guide,
    rows: NDArray[np.int64],
    features: NDArray[np.floating],
    weight: NDArray[np.floating],
    config: MatchConfig,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Move the samples at ``rows`` toward the weighted real ones of their group.

    Args:
        guide: whose features are matched.
        rows: frames that the samples begin as. Shape (S,).
        features, weight: of the group's real samples. Shapes (M, F) and (M,).
        config: how.
        seed: of frequencies and draws.

    Returns:
        The tensors of :mod:`vla_distill.dataset.synthetic` but weight and episode; ``row``; and
        ``discrepancy`` of the whole group, before and after, at frequencies that no adversary
        chose.
    """
    rng, generator = np.random.default_rng([seed, 19]), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    share = weight / weight.sum() if weight.sum() > 0 else np.full(len(weight), 1 / len(weight))
    real = torch.from_numpy(features.astype(np.float32))
    frequencies = Frequencies(real.shape[1], config.adversarial)
    adversary = torch.optim.Adam(frequencies.parameters(), lr=config.adversary_rate)
    fixed = Frequencies(real.shape[1], adversarial=False)(generator)
    wanted = _characteristic(real, fixed, torch.from_numpy(share).float())

    def gap() -> float:
        with torch.no_grad():
            made = torch.cat([guide.features(part.batch) for part in parts])
        return float(discrepancy(wanted, characteristic(made, fixed), config.alpha))

    order = rng.permutation(len(rows))
    indices = [np.sort(i) for i in np.array_split(order, -(-len(rows) // config.batch))]
    parts = [_Part(guide.batch(rows[index]), config) for index in indices]
    before = gap()
    for _ in range(config.rounds):
        for number in rng.permutation(len(parts)):
            part = parts[number]
            drawn = real[rng.choice(len(share), config.real, p=share)]
            made = guide.features(part.batch)
            if config.adversarial:
                t = frequencies(generator)
                found = characteristic(drawn, t), characteristic(made.detach(), t)
                adversary.zero_grad()
                (-discrepancy(*found, config.alpha)).backward()
                adversary.step()
            t = frequencies(generator).detach()
            part.step(discrepancy(characteristic(drawn, t), characteristic(made, t), config.alpha))
    after = gap()
    back = np.argsort(np.concatenate(indices))
    pixels = torch.cat([part.batch.images.detach() for part in parts])[back]
    actions = torch.cat([part.batch.actions.detach() for part in parts])[back]
    return _arrays(guide, rows, pixels, actions) | {"discrepancy": np.array([before, after])}


class _Part:
    """Samples that are moved together, with an optimiser of their own: Adam would go on moving
    those of a group that are not in its turn.

    Args:
        batch: the samples; images and actions are moved.
        config: how.
    """

    def __init__(self, batch: Batch, config: MatchConfig) -> None:
        self.batch = batch
        self._optimizer = torch.optim.Adam(
            [
                {"params": [batch.images.requires_grad_()], "lr": config.pixel_rate},
                {"params": [batch.actions.requires_grad_()], "lr": config.action_rate},
            ]
        )

    def step(self, gap: torch.Tensor) -> None:
        """Lower the discrepancy."""
        self._optimizer.zero_grad()
        gap.backward()
        self._optimizer.step()
        with torch.no_grad():
            self.batch.images.clamp_(-1.0, 1.0)


def _characteristic(
    points: torch.Tensor, frequencies: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """As :func:`characteristic`, in blocks: a group may have all of the dataset's frames."""
    blocks = zip(points.split(BLOCK), weight.split(BLOCK), strict=True)
    return torch.stack([characteristic(p, frequencies, w) for p, w in blocks]).sum(0)


def write_matched(
    folder: Path, pool: Pool, groups: list[dict[str, NDArray[Any]]], seeds: NDArray[np.int64]
) -> None:
    """Write all groups as one synthetic dataset.

    Args:
        folder: of the dataset.
        pool: where the samples began.
        groups: as :func:`match_group` returns them.
        seeds: of the pool's episodes, as they shall be written.
    """
    merged = {key: np.concatenate([group[key] for group in groups]) for key in groups[0]}
    order = np.argsort(merged.pop("row"), kind="stable")
    del merged["discrepancy"]
    rows = np.concatenate([group["row"] for group in groups])[order]
    used, episode = np.unique(pool.frames.episode_index[rows], return_inverse=True)
    arrays = {key: value[order] for key, value in merged.items()}
    arrays |= {"episode": episode.astype(np.int64), "weight": np.ones(len(rows), np.float32)}
    first = np.searchsorted(pool.frames.episode_index, used)
    texts = pool.frames.instruction_index[first]
    episodes = [
        SyntheticEpisode(pool.frames.tasks[e], int(seeds[e]), pool.frames.instructions[text])
        for e, text in zip(used, texts, strict=True)
    ]
    write_synthetic(folder, arrays, episodes, pool.frames.cameras)


def _arrays(
    guide: Guide,
    rows: NDArray[np.int64],
    pixels: torch.Tensor,
    actions: torch.Tensor,
) -> dict[str, NDArray[Any]]:
    frames, horizon = guide.samples.frames, guide.policy.horizon
    state = frames.state[rows]
    images = ((pixels + 1.0) * 127.5).round().to(torch.uint8).movedim(-3, -1)
    return {
        "row": rows,
        "images": images.numpy(),
        "state": state,
        "chunk": guide.policy.statistics.write_targets(
            state.astype(np.float64), actions.double().numpy()
        ),
        "keypoints": np.nan_to_num(frames.keypoints[rows]),  # 0 is where nothing is known
        "source_frame": frames.scene_frame[rows],
        "foretold": frames.chunk_mask(rows, horizon).sum(1),
    }
