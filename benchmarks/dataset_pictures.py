"""What packing into a dataset takes from a camera's picture, beside what JPEG took before.

    python benchmarks/dataset_pictures.py --json benchmarks/results/dataset_pictures.json

Packs the 640x480 pictures of `benchmarks/bag_conversion.py`, as a bag's JPEGs give them, in the way
of datasets, without loss, and with chroma of half the resolution. Errors are absolute differences
of colours after packing and before, in levels of 255; those of JPEG are to the pictures that the
JPEGs were made of.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from bag_conversion import CAMERAS, SIZE, pictures
from numpy.typing import NDArray

from vla_distill.dataset import video
from vla_distill.evaluation.machine import command, commit, machine
from vla_policy.image_conversion import to_rgb

FPS = 10
ENCODINGS: dict[str, dict[str, Any]] = {
    "dataset": {"PIXEL_FORMAT": video.PIXEL_FORMAT},
    "lossless": {"NEARLY_LOSSLESS": video.NEARLY_LOSSLESS | {"crf": "0"}},
    "half_chroma": {"PIXEL_FORMAT": "yuv420p"},
    "half_chroma_lossless": {
        "PIXEL_FORMAT": "yuv420p",
        "NEARLY_LOSSLESS": video.NEARLY_LOSSLESS | {"crf": "0"},
    },
}
"""Constants of the encoder, where others than the dataset's."""


def scene(camera: int, transport: str) -> NDArray[np.uint8]:
    """Every third picture: what ten frames a second see at 30 Hz. Shape (T, H, W, 3), RGB."""
    return np.stack([to_rgb(message) for message in pictures(camera, transport)[::3]])


def error(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> dict[str, float]:
    """Absolute differences [levels of 255]."""
    levels = np.abs(images.astype(np.int16) - others)
    tail = dict(zip(("p99", "p999"), np.quantile(levels, (0.99, 0.999)).tolist(), strict=True))
    return {"mean": float(levels.mean()), **tail, "max": float(levels.max())}


def packed(images: NDArray[np.uint8], path: Path) -> dict[str, Any]:
    """Pack pictures, and tell kilobytes a picture, and the error."""
    video.encode(path, images, FPS)
    back = np.stack([image for _, image in video.decode(path, FPS)])
    return error(back, images) | {"kilobytes": path.stat().st_size / 1e3 / len(images)}


def main(argv: Sequence[str] | None = None) -> int:
    """Pack the pictures in each way, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args(argv)
    cameras = range(len(CAMERAS))
    images = np.concatenate([scene(camera, "compressed") for camera in cameras])
    # OpenCV took the pictures for BGR when it made the JPEGs.
    made_of = np.concatenate([scene(camera, "raw") for camera in cameras])[..., ::-1]
    rows: list[dict[str, Any]] = [{"name": "jpeg"} | error(images, made_of)]
    with tempfile.TemporaryDirectory(prefix="dataset-pictures-") as folder:
        for name, constants in ENCODINGS.items():
            with patch.multiple(video, **constants):
                told = {"name": name} | video.info(*SIZE)
                rows.append(told | packed(images, Path(folder) / f"{name}.mp4"))
    for row in rows:
        print(json.dumps(row))
    result = {"rows": rows, "commit": commit(), "command": command(), "machine": machine()}
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
