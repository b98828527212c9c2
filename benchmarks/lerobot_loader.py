"""Whether LeRobot's own loader reads from our datasets what we wrote.

Makes an environment of its own for the ``lerobot`` package (several GB, kept for the next time; the
FFmpeg libraries that its video decoder needs come from ``apt install ffmpeg``). In it LeRobot's
``LeRobotDataset`` reads every frame, and that is compared with what our own reader gives: pictures,
states, actions, times, instructions, episode boundaries, statistics, and the chunks of future
actions with their padding at the end of an episode. Exit code 1 if something differs.

vla collect --suite arx5 --out data/small --episodes 4
python benchmarks/lerobot_loader.py --data data/small --json benchmarks/results/lerobot_loader.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.dataset import Dataset, layout
from vla_distill.dataset.errors import DatasetError
from vla_distill.evaluation.machine import command, commit, machine

LEROBOT = "lerobot==0.4.4"
"""The last one for Python 3.11; it reads and writes the dataset format v3.0."""
ENVIRONMENT = Path.home() / ".cache" / "lean_vla" / "lerobot_env"
HORIZON = 16
COLOUR_TOLERANCE = 3
"""Levels of 255: two decoders round YUV to RGB differently."""
READER = Path(__file__).with_name("_lerobot_read.py")


def environment(folder: Path) -> Path:
    """The Python of an environment that has LeRobot; made where there is none.

    Args:
        folder: of the environment.
    """
    python = folder / "bin" / "python"
    known = python.exists() and not _pip(python, "show", "lerobot", quiet=True)
    if not known:
        print(f"installing {LEROBOT} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        if _pip(python, "install", "--no-compile", LEROBOT):
            raise DatasetError(f"{folder}", got="pip failed", expected=f"{LEROBOT} installed")
    return python


def _pip(python: Path, *words: str, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else sys.stderr
    return subprocess.run(
        [python, "-m", "pip", *words], stdout=output, stderr=output, check=False
    ).returncode


def read_with_lerobot(python: Path, data: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What LeRobot says about a dataset: facts, and arrays by feature."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "read.npz"
        words = [python, "-P", READER, data.resolve(), out, str(HORIZON)]
        ended = subprocess.run(words, check=False).returncode
        if ended:
            raise DatasetError(f"{data}", got=f"exit code {ended}", expected="LeRobot reads it")
        with np.load(out) as file:
            arrays = {key: file[key] for key in file.files}
    return json.loads(str(arrays.pop("said"))), arrays


def compare(
    data: Dataset, said: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> dict[str, dict[str, Any]]:
    """Every thing compared: whether it is the same, and how much of it there is."""
    records, columns = data.episodes, data.columns
    number = np.concatenate([np.arange(len(record)) for record in records])
    last = np.concatenate([np.full(len(record), record.stop - 1) for record in records])
    ahead = np.arange(len(data))[:, None] + np.arange(HORIZON)
    texts = [record.instruction for record in records for _ in range(len(record))]
    noted = json.loads((data.path / layout.STATISTICS_PATH).read_text())

    def same(got: NDArray[Any], expected: NDArray[Any]) -> dict[str, Any]:
        equal = got.shape == expected.shape and np.array_equal(got, expected)
        return {"same": bool(equal), "shape": list(got.shape)}

    result = {key: same(arrays[key], columns[key]) for key in (*layout.VECTORS, layout.DISTURBANCE)}
    for key in ("frame_index", "episode_index", "index", "task_index"):
        result[key] = same(arrays[key], columns[key])
    error = np.abs(arrays["timestamp"] - number / data.fps).max()
    result["timestamp"] = {"same": bool(error < 1e-4), "largest_difference_s": float(error)}
    result["instructions"] = {"same": said["texts"] == texts, "different": len(set(texts))}
    boundaries = [(record.start, record.stop) for record in records]
    result["episode boundaries"] = {
        "same": list(zip(said["from"], said["to"])) == boundaries,
        "episodes": len(boundaries),
    }
    result["tasks of the episodes"] = {
        "same": said["tasks"] == [[record.instruction] for record in records]
    }
    facts = (said["fps"], said["robot_type"], said["total_episodes"])
    result["fps, robot, number of episodes"] = {
        "same": facts == (data.fps, data.info.get("robot_type"), len(records)),
        "values": list(facts),
    }
    named = {key: list(names) for key, names in layout.VECTORS.items()}
    result["names of the numbers"] = {
        "same": {key: said["names"].get(key) for key in named} == named
    }
    means = {key: np.ravel(value["mean"]) for key, value in noted.items()}
    result["statistics"] = {
        "same": said["mean"].keys() == means.keys()
        and all(np.allclose(said["mean"][key], mean) for key, mean in means.items()),
        "features": len(means),
    }
    wanted = columns[layout.ACTION][np.minimum(ahead, last[:, None])]
    result[f"chunks of {HORIZON} actions"] = same(arrays["chunks"], wanted)
    result["padding of the chunks"] = same(arrays["pads"], ahead > last[:, None])
    return result | _pictures(data, arrays)


def _pictures(data: Dataset, arrays: dict[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Every picture of every camera, an episode at a time."""
    result: dict[str, dict[str, Any]] = {}
    for camera in data.cameras:
        key = layout.video_key(camera)
        largest, total = 0, 0.0
        for record in data.episodes:
            ours = data.episode(record.index).images[camera].astype(np.int16)
            difference = np.abs(arrays[key][record.start : record.stop] - ours)
            largest, total = max(largest, int(difference.max())), total + float(difference.sum())
        result[key] = {
            "same": largest <= COLOUR_TOLERANCE,
            "shape": list(arrays[key].shape),
            "largest_difference_of_255": largest,
            "mean_difference_of_255": round(total / arrays[key].size, 4),
        }
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("data/small"), help="a dataset of ours")
    parser.add_argument("--env", type=Path, default=ENVIRONMENT, help="where LeRobot is or goes")
    parser.add_argument("--json", type=Path, help="write the result into this file")
    arguments = parser.parse_args()
    data = Dataset(arguments.data)
    said, arrays = read_with_lerobot(environment(arguments.env), data.path)
    compared = compare(data, said, arrays)
    result = {
        "same": all(entry["same"] for entry in compared.values()),
        "compared": compared,
        "lerobot": {
            "python": said["python"],
            "versions": said["versions"],
            "video_backend": said["backend"],
            "video_backends_that_failed": said["refused_backends"],
        },
        "dataset": {
            "codebase_version": data.info["codebase_version"],
            "episodes": len(data.episodes),
            "frames": len(data),
            "content_hash": data.content_hash,
        },
        "commit": commit(),
        "machine": machine(),
        "command": command(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n")
    return 0 if result["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
