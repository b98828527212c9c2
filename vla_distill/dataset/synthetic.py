"""Synthetic samples on disk: one safetensors file, read as frames like any other dataset.

``DIR/synthetic.safetensors`` holds N samples:

| tensor | shape | what |
|---|---|---|
| ``images`` | (N, cameras, H, W, 3) uint8 | RGB |
| ``state`` | (N, 8) float32 | measured pose, gripper measured and commanded [m, rad] |
| ``chunk`` | (N, 16, 7) float32 | commanded poses and gripper from here on [m, rad] |
| ``keypoints`` | (N, 6) float32 | target and goal [m] |
| ``weight`` | (N,) float32 | how often to draw each, relative |
| ``episode`` | (N,) int64 | into ``episodes``, not falling |
| ``source_frame`` | (N,) int64 | frame of that episode that the sample began as |
| ``foretold`` | (N,) int64 | targets that count in the loss |

and in its metadata ``format`` (1), ``cameras`` and ``episodes`` as JSON: task, seed, instruction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vla_distill.dataset import layout
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.store import NO_ERROR, Chosen, FrameStore

FILE = "synthetic.safetensors"
FORMAT = "1"
_SHAPES: dict[str, tuple[int, ...]] = {
    "state": (len(layout.STATE_NAMES),),
    "chunk": (layout.HORIZON, len(layout.ACTION_NAMES)),
    "keypoints": (len(layout.KEYPOINT_NAMES),),
    "weight": (),
    "episode": (),
    "source_frame": (),
    "foretold": (),
}


@dataclass(frozen=True)
class SyntheticEpisode:
    """Where samples began: task, seed of the scene, instruction."""

    task: str
    seed: int
    instruction: str


def is_synthetic(folder: str | Path) -> bool:
    """Whether the folder holds synthetic samples."""
    return (Path(folder) / FILE).is_file()


def write_synthetic(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    episodes: Sequence[SyntheticEpisode],
    cameras: Sequence[str],
) -> None:
    """Write the file, all or nothing.

    Args:
        folder: made if absent.
        arrays: see the head of this module.
        episodes: of the samples.
        cameras: in the order of the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": FORMAT,
        "cameras": json.dumps(list(cameras)),
        "episodes": json.dumps([vars(episode) for episode in episodes]),
    }
    temporary = folder / f".{FILE}"
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary, metadata)
    temporary.replace(folder / FILE)


def read_synthetic(folder: str | Path) -> tuple[FrameStore, NDArray[np.int64]]:
    """The samples as frames, and the seed of each episode.

    Raises:
        DatasetError: the file is damaged, of another format, or a tensor has another shape.
    """
    path = Path(folder) / FILE
    try:
        with safe_open(path, "numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DatasetError(f"{path}", got=error, expected="a safetensors file") from error
    if metadata.get("format") != FORMAT:
        raise DatasetError(f"{path}: format", got=metadata.get("format"), expected=FORMAT)
    count = len(arrays.get("images", ()))
    for key, shape in _SHAPES.items():
        got = arrays[key].shape if key in arrays else None
        if got != (count, *shape) or not np.isfinite(arrays[key]).all():
            raise DatasetError(f"{path}: {key}", got=got, expected=f"{(count, *shape)}, finite")
    episodes = [SyntheticEpisode(**each) for each in json.loads(metadata["episodes"])]
    store = _store(arrays, episodes, tuple(json.loads(metadata["cameras"])))
    return store, np.array([episode.seed for episode in episodes], np.int64)


def _store(
    arrays: Mapping[str, NDArray[Any]],
    episodes: Sequence[SyntheticEpisode],
    cameras: tuple[str, ...],
) -> FrameStore:
    episode = arrays["episode"]
    first = np.searchsorted(episode, episode)
    instructions = sorted({each.instruction for each in episodes})
    number = np.array([instructions.index(each.instruction) for each in episodes])
    digest = hashlib.sha256(b"".join(a.tobytes() for _, a in sorted(arrays.items())))
    return FrameStore(
        images=arrays["images"],
        state=arrays["state"],
        action=arrays["chunk"][:, 0],
        keypoints=arrays["keypoints"],
        disturbance=np.zeros(len(episode), np.int64),
        episode_index=episode,
        frame_index=np.arange(len(episode)) - first,
        instruction_index=number[episode],
        last_index=np.searchsorted(episode, episode, side="right") - 1,
        error_index=np.full(len(episode), NO_ERROR),
        instructions=instructions,
        tasks=[each.task for each in episodes],
        cameras=cameras,
        content_hash=digest.hexdigest(),
        chosen=Chosen(
            arrays["chunk"], arrays["weight"], arrays["source_frame"], arrays["foretold"]
        ),
    )
