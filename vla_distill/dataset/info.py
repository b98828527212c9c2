"""Reads ``meta/info.json`` and refuses what is no finished dataset of this arm, field by field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from vla_distill.dataset import layout
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.synthetic import is_synthetic

UNFINISHED = (".partial", ".merging")
"""Endings of the folders in which a dataset is being made."""
_FINISH = "a finished dataset: run the same `vla collect` again, it goes on where it stopped"
_KINDS: dict[str, type | tuple[type, ...]] = {
    "codebase_version": str,
    "fps": (int, float),
    "features": dict,
    "total_episodes": int,
    "total_frames": int,
    "data_path": str,
    "video_path": str,
}


def read_info(folder: Path) -> dict[str, Any]:
    """The content of ``info.json``, with every field that reading needs.

    Raises:
        DatasetError: the folder is missing, half-written, of synthetic samples or no dataset; the
            file is damaged, of another version of the format, or lacks a field; or the numbers of a
            frame are not those of this arm.
    """
    _refuse_other_folders(folder)
    path = folder / layout.INFO_PATH
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}", got=error, expected="a LeRobot info.json") from error
    if not isinstance(info, dict):
        raise DatasetError(f"{path}", got=type(info).__name__, expected="an object")
    version = info.get("codebase_version")
    if version != layout.CODEBASE_VERSION:
        advice = "; LeRobot's convert_dataset_v21_to_v30 converts it" if version == "v2.1" else ""
        raise DatasetError(
            f"{path}: codebase_version",
            got="nothing" if version is None else version,
            expected=layout.CODEBASE_VERSION + advice,
        )
    for key, kind in _KINDS.items():
        if not isinstance(info.get(key), kind) or isinstance(info.get(key), bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = " or ".join(k.__name__ for k in kinds)
            got = repr(info[key]) if key in info else "nothing"
            raise DatasetError(f"{path}: {key}", got=got, expected=f"a value ({names})")
    _check_numbers(info, path)
    _check_features(info["features"], path)
    return info


def cameras(info: dict[str, Any]) -> tuple[str, ...]:
    """Names of the cameras, in the order of the file."""
    return tuple(
        key.removeprefix(layout.IMAGE_PREFIX)
        for key, feature in info["features"].items()
        if feature["dtype"] == "video"
    )


def _refuse_other_folders(folder: Path) -> None:
    """Tell a folder that is not there, in which a dataset is being made, or of synthetic samples,
    from a dataset."""
    if not folder.exists():
        partial = folder.with_name(folder.name + UNFINISHED[0])
        if partial.is_dir():
            written = len(list(partial.glob("[!.]*/episode.json")))
            got = f"nothing but {partial} with {written} episodes"
            raise DatasetError(f"{folder}", got=got, expected=_FINISH)
        raise DatasetError(f"{folder}", got="nothing there", expected="a dataset's folder")
    if not folder.is_dir():
        raise DatasetError(f"{folder}", got="a file", expected="a dataset's folder")
    if folder.resolve().name.endswith(UNFINISHED):
        raise DatasetError(f"{folder}", got="a dataset being written", expected=_FINISH)
    if is_synthetic(folder):
        expected = "episodes in LeRobot's format; synthetic samples are for `vla train`"
        raise DatasetError(f"{folder}", got="a synthetic dataset", expected=expected)


def _check_numbers(info: dict[str, Any], path: Path) -> None:
    if not (math.isfinite(info["fps"]) and info["fps"] > 0):
        raise DatasetError(f"{path}: fps", got=info["fps"], expected="frames per second, above 0")
    for key in ("total_episodes", "total_frames"):
        if info[key] < 1:
            raise DatasetError(f"{path}: {key}", got=info[key], expected="1 or more")
    try:
        info["data_path"].format(chunk_index=0, file_index=0)
        info["video_path"].format(video_key="", chunk_index=0, file_index=0)
    except (KeyError, IndexError, ValueError) as error:
        raise DatasetError(
            f"{path}: data_path, video_path",
            got=f"{info['data_path']}, {info['video_path']}",
            expected=f"{layout.DATA_PATH}, {layout.VIDEO_PATH}",
        ) from error


def _check_features(features: dict[str, Any], path: Path) -> None:
    for key, feature in features.items():
        if not isinstance(feature, dict) or not {"dtype", "shape"} <= feature.keys():
            raise DatasetError(f"{path}: feature {key}", got=feature, expected="dtype and shape")
    for key, names in layout.VECTORS.items():
        feature = features.get(key)
        if feature is None and key == layout.KEYPOINTS:  # only a simulator knows them
            continue
        got = None if feature is None else (feature["shape"], _flat(feature.get("names")))
        if got != ([len(names)], list(names)):
            raise DatasetError(
                f"{path}: feature {key}",
                got="nothing" if got is None else f"shape {got[0]}, names {got[1]}",
                expected=f"shape [{len(names)}], names {list(names)}",
            )
    videos = {key: feature for key, feature in features.items() if feature["dtype"] == "video"}
    if not videos:
        expected = f"at least one {layout.IMAGE_PREFIX}* of dtype video"
        raise DatasetError(f"{path}: features", got=list(features), expected=expected)
    first = next(iter(videos.values()))["shape"]
    for key, feature in videos.items():
        shape = feature["shape"]
        if not key.startswith(layout.IMAGE_PREFIX):
            raise DatasetError(f"{path}: features", got=key, expected=f"{layout.IMAGE_PREFIX}*")
        pixels = isinstance(shape, list) and len(shape) == 3 and shape[2] == 3
        if not pixels or not all(isinstance(size, int) and size > 0 for size in shape):
            raise DatasetError(f"{path}: shape of {key}", got=shape, expected="[height, width, 3]")
        if shape != first:
            raise DatasetError(f"{path}: shapes of the cameras", got=shape, expected=first)


def _flat(names: Any) -> list[str] | None:
    """Names of a vector's numbers; LeRobot also writes them as ``{"motors": [...]}``."""
    if isinstance(names, dict):
        names = [name for group in names.values() for name in (group or [])]
    return names
