"""Reads a dataset with LeRobot's own loader and writes down all that it says.

Runs in an environment that has ``lerobot`` and nothing of this project; `lerobot_loader.py` makes
the environment, starts this file in it, and compares.

python _lerobot_read.py DATASET OUT.npz HORIZON
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # what is not on this disk shall fail, not be downloaded

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

BACKENDS = ("torchcodec", "pyav")
PACKAGES = ("lerobot", "datasets", "pyarrow", "torch", "torchvision", "torchcodec", "av", "numpy")


def open_dataset(folder: Path, **options: object) -> tuple[LeRobotDataset, str, dict[str, str]]:
    """The dataset with the first video decoder that works here, its name, and why others do not."""
    refused: dict[str, str] = {}
    for backend in BACKENDS:
        data = LeRobotDataset("local/dataset", root=folder, video_backend=backend, **options)
        try:
            data[0]
        except (RuntimeError, ImportError, AttributeError) as error:
            refused[backend] = str(error).strip().splitlines()[0]
            continue
        return data, backend, refused
    raise SystemExit(f"no video decoder works: {refused}")


def main(folder: Path, out: Path, horizon: int) -> None:
    """Read every frame, and every frame's chunk of actions."""
    data, backend, refused = open_dataset(folder)
    images: dict[str, list[np.ndarray]] = {key: [] for key in data.meta.video_keys}
    numbers: dict[str, list[np.ndarray]] = {}
    texts: list[str] = []
    for index in range(len(data)):
        item = data[index]
        texts.append(item["task"])
        for key, value in item.items():
            if key in images:
                picture = (value * 255.0).round().to(torch.uint8)
                images[key].append(picture.permute(1, 2, 0).numpy())
            elif isinstance(value, torch.Tensor):
                numbers.setdefault(key, []).append(value.numpy())
    times = {"action": [step / data.fps for step in range(horizon)]}
    chunks = LeRobotDataset("local/dataset", root=folder, delta_timestamps=times)
    rows = [chunks.hf_dataset[index] for index in range(len(chunks))]
    ahead, pads = [], []
    for row in rows:
        # The loader's own look-up, without decoding the pictures again.
        query, pad = chunks._get_query_indices(int(row["index"]), int(row["episode_index"]))
        ahead.append(chunks._query_hf_dataset(query)["action"].numpy())
        pads.append(pad["action_is_pad"].numpy())
    said = {
        "fps": data.fps,
        "robot_type": data.meta.robot_type,
        "names": data.meta.names,
        "total_episodes": data.meta.total_episodes,
        "from": [int(row["dataset_from_index"]) for row in data.meta.episodes],
        "to": [int(row["dataset_to_index"]) for row in data.meta.episodes],
        "tasks": [row["tasks"] for row in data.meta.episodes],
        "texts": texts,
        "mean": {k: np.asarray(v["mean"]).ravel().tolist() for k, v in data.meta.stats.items()},
        "backend": backend,
        "refused_backends": refused,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    arrays: dict[str, Any] = {key: np.stack(values) for key, values in (images | numbers).items()}
    arrays |= {"chunks": np.stack(ahead), "pads": np.stack(pads)}
    np.savez(out, said=json.dumps(said), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
