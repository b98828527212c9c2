"""Memory of scoring a dataset, and of one ten times larger: ``vla distill-data`` streams.

Made-up episodes (pictures of noise, poses that wander) in the form of any dataset, scored by an
untrained guide in a process of its own each; its own memory (RssAnon, without mapped files) is
sampled. The same code scores any dataset.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

LENGTH, SIZE, TIMES = 40, 32, 10
INTERVAL = 0.02
"""Between two looks at the memory [s]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=20, help="of the smaller dataset")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--score", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.score:
        print(score(arguments.score))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (arguments.episodes, TIMES * arguments.episodes):
            data = make(Path(folder) / f"data_{count}", count)
            command = [sys.executable, __file__, "--score", str(data)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peak = float(done.stdout.split()[-1])
            rows.append({"frames": count * LENGTH, "mib": peak})
            print(f"{count * LENGTH} frames: {peak:.0f} MiB", flush=True)
    ratio = rows[1]["mib"] / rows[0]["mib"]
    print(f"{TIMES} times the data takes {ratio:.3f} times the memory")
    if arguments.json:
        from vla_distill.evaluation.machine import command as words
        from vla_distill.evaluation.machine import commit, machine

        record = {"rows": rows, "ratio": ratio}
        record |= {"commit": commit(), "command": words(), "machine": machine()}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def make(path: Path, episodes: int) -> Path:
    """A dataset of so many episodes."""
    from vla_distill.dataset import DatasetWriter, EpisodeFrames

    writer = DatasetWriter(path, ("front", "wrist"), (SIZE, SIZE))
    for seed in range(episodes):
        rng = np.random.default_rng(seed)
        way = 0.001 * rng.normal(size=(LENGTH, 6)).cumsum(0)
        pose = np.array([0.3, 0.0, 0.2, 0.0, 1.57, 0.0]) + way
        opening = np.full((LENGTH, 2), 0.08)
        state = np.concatenate([pose, opening], 1).astype(np.float32)
        noise = {c: rng.integers(0, 256, (LENGTH, SIZE, SIZE, 3), np.uint8) for c in writer.cameras}
        writer.add_episode(
            EpisodeFrames(
                images=noise,
                state=state,
                action=np.roll(state[:, :7], -1, axis=0),
                keypoints=np.zeros((LENGTH, 6), np.float32),
                disturbance=np.zeros(LENGTH, np.int64),
                instruction="pick up the red cube",
                task="pick",
                seed=seed,
            )
        )
    return writer.finish()


def score(data: Path) -> float:
    """Score all samples; returns the most memory taken [MiB]."""
    from vla_distill.ftncfm.executor import Here
    from vla_distill.ftncfm.guide import Checkpoint
    from vla_distill.ftncfm.pool import open_pool
    from vla_distill.ftncfm.scoring import score as score_all
    from vla_policy.checkpoint import save_policy
    from vla_policy.model.policy import VlaPolicy

    guide = save_policy(VlaPolicy.random("test"), data.with_name(data.name + "_guide"))
    done, peak = threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak[0] = max(peak[0], anonymous_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work = data.with_name(data.name + "_work")
        checkpoints = [Checkpoint(guide, 1e-3)]
        score_all(open_pool(data), str(data), checkpoints, "lissa", work, Here(), progress=False)
    finally:
        done.set()
        watcher.join()
    return peak[0]


def anonymous_mib() -> float:
    """Memory of this process that no file stands behind [MiB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(x for x in lines if x.startswith("RssAnon")).split()[1]) / 1024


if __name__ == "__main__":
    main()
