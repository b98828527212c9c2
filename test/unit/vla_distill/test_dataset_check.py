"""Whatever is done to a dataset, `vla dataset check` names file, field and what is right."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ftncfm_frames import frames as ftncfm_frames
from ftncfm_frames import on_disk

from vla_distill.cli.main import main
from vla_distill.dataset import Dataset, DatasetError, DatasetWriter, EpisodeFrames, layout, video
from vla_distill.dataset.check import check
from vla_distill.dataset.source import open_frames

CAMERAS, SIZE = ("front", "wrist"), (32, 32)
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
FRONT = "videos/observation.images.front/chunk-000/file-000.mp4"
WRIST = "videos/observation.images.wrist/chunk-000/file-000.mp4"


def episode(task: str, seed: int, length: int) -> EpisodeFrames:
    """A pose that can be, and a textured picture in a colour of the camera and episode."""
    rng = np.random.default_rng([seed, length])
    images = {}
    for number, camera in enumerate(CAMERAS):
        base = np.roll([200 - seed % 100, 60, 40], number)
        noise = rng.integers(-20, 20, (length, *SIZE, 3))
        images[camera] = np.clip(base + noise, 0, 255).astype(np.uint8)
    low, high = [0.2, -0.2, 0.02, -0.3, 1.3, -0.3, 0.0], [0.4, 0.2, 0.2, 0.3, 1.8, 0.3, 0.08]
    action = rng.uniform(low, high, (length, 7)).astype(np.float32)
    return EpisodeFrames(
        images=images,
        state=np.concatenate([action, action[:, 6:]], axis=1),
        action=action,
        keypoints=rng.uniform(0.0, 0.3, (length, 6)).astype(np.float32),
        disturbance=(np.arange(length) % 3).astype(np.int64),
        instruction=f"{task} the red cube",
        task=task,
        seed=seed,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    writer = DatasetWriter(tmp_path_factory.mktemp("good") / "demo", CAMERAS, SIZE)
    for frames in (episode("pick", 7, 12), episode("place", 57, 15), episode("pick", 90, 9)):
        writer.add_episode(frames)
    return writer.finish()


@pytest.fixture
def dataset(good: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(good, tmp_path / "demo"))


def truncate(path: Path, share: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def overwrite(path: Path) -> None:
    """Zero a stretch in the middle, as a bad disk would."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def info(dataset: Path, **values: Any) -> None:
    edit(dataset / layout.INFO_PATH, lambda content: content.update(values))


def feature(dataset: Path, key: str, **values: Any) -> None:
    edit(dataset / layout.INFO_PATH, lambda content: content["features"][key].update(values))


def rows(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the rows of a table, keeping its columns' types."""
    table = pq.read_table(path)
    content = table.to_pylist()
    changed = change(content)
    content = content if changed is None else changed
    pq.write_table(pa.Table.from_pylist(content, schema=table.schema), path)


def put(path: Path, row: int, key: str, value: Any) -> None:
    def change(content: list[dict[str, Any]]) -> None:
        old = content[row][key]
        content[row][key] = [value, *old[1:]] if isinstance(old, list) else value

    rows(path, change)


def drop_column(path: Path, key: str) -> None:
    pq.write_table(pq.read_table(path).drop_columns([key]), path)


def film(path: Path, count: int, size: tuple[int, int], fps: int = 10) -> None:
    path.unlink()
    video.encode(path, np.full((count, *size, 3), (200, 60, 40), np.uint8), fps)


def swap_videos(dataset: Path) -> None:
    front = (dataset / FRONT).read_bytes()
    (dataset / FRONT).write_bytes((dataset / WRIST).read_bytes())
    (dataset / WRIST).write_bytes(front)


def other_robot(dataset: Path) -> None:
    """What LeRobot records from an SO-101 with the same cameras: six joints, no poses."""
    joints = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
    info(dataset, robot_type="so101_follower")
    for key in (layout.STATE, layout.ACTION):
        feature(dataset, key, shape=[6], names=[f"{joint}.pos" for joint in joints])


def same_shape(dataset: Path) -> None:
    """State of 8 and action of 7 numbers, as of another arm's datasets, but other numbers."""
    names = ["x", "y", "z", "axis_angle1", "axis_angle2", "axis_angle3", "gripper", "gripper"]
    feature(dataset, layout.STATE, names={"motors": names})


TABLES = [
    ("truncated data", lambda d: truncate(d / DATA), f"{DATA}.*readable parquet"),
    ("empty data", lambda d: (d / DATA).write_bytes(b""), f"{DATA}.*readable parquet"),
    ("no data", lambda d: (d / DATA).unlink(), f"{DATA}.*readable parquet"),
    ("damaged data", lambda d: overwrite(d / DATA), DATA),
    ("no action", lambda d: drop_column(d / DATA, "action"), f"{DATA}: column.*expected action"),
    (
        "NaN in action",
        lambda d: put(d / DATA, 5, "action", float("nan")),
        f"{DATA}: column action in row 5: got .nan.*expected finite",
    ),
    (
        "Inf in state",
        lambda d: put(d / DATA, 30, layout.STATE, float("inf")),
        f"{DATA}: column observation.state in row 30: got .inf.*expected finite",
    ),
    (
        "NaN in time",
        lambda d: put(d / DATA, 4, "timestamp", float("nan")),
        f"{DATA}: timestamp in row 4: got nan s, expected 0.4 s",
    ),
    (
        "gap",
        lambda d: rows(d / DATA, lambda r: r[:17] + r[18:]),
        f"{DATA}: index in row 17: got 18",
    ),
    (
        "end missing",
        lambda d: rows(d / DATA, lambda r: r[:-1]),
        f"{DATA}: rows: got 35, expected 36",
    ),
    ("index", lambda d: put(d / DATA, 3, "index", 9), f"{DATA}: index in row 3: got 9, expected 3"),
    (
        "owner",
        lambda d: put(d / DATA, 3, "episode_index", 1),
        f"{DATA}: episode_index in row 3: got 1, expected 0",
    ),
    (
        "frame_index",
        lambda d: put(d / DATA, 13, "frame_index", 2),
        f"{DATA}: frame_index in row 13: got 2, expected 1",
    ),
    ("null", lambda d: put(d / DATA, 2, "task_index", None), f"{DATA}: column task_index.*gaps"),
    (
        "millimetres",
        lambda d: put(d / DATA, 8, "action", 300.0),
        f"{DATA}: action position in row 8 .*expected at most 1 m",
    ),
    (
        "mark",
        lambda d: put(d / DATA, 1, layout.DISTURBANCE, 7),
        f"{DATA}: {layout.DISTURBANCE} in row 1: got 7, expected 0, 1 or 2",
    ),
    (
        "instruction",
        lambda d: put(d / DATA, 1, "task_index", 1),
        f"{DATA}: task_index in row 1: got 1, expected 0",
    ),
    ("stray", lambda d: shutil.copy(d / DATA, d / "data/chunk-000/file-001.parquet"), "file-001"),
    (
        "episode gap",
        lambda d: rows(d / EPISODES, lambda r: [r[0], r[2]]),
        "meta/episodes: episode_index: got 2, expected 1",
    ),
    (
        "episode length",
        lambda d: put(d / EPISODES, 1, "dataset_from_index", 13),
        "frames of episode 1: got 13 to 27, expected 12",
    ),
    (
        "film position",
        lambda d: put(d / EPISODES, 2, "videos/observation.images.front/from_timestamp", 1.0),
        "front/from_timestamp of episode 2: got 1 s, expected 2.7 s",
    ),
    (
        "twice",
        lambda d: rows(d / EPISODES, lambda r: r[2].update(seed=7)),
        "episode 2: got task pick, seed 7, as in episode 0",
    ),
    (
        "no instruction",
        lambda d: rows(d / EPISODES, lambda r: r[1].update(tasks=[])),
        "episode 1: tasks: got ..",
    ),
]
META = [
    ("no info", lambda d: (d / layout.INFO_PATH).unlink(), "meta/info.json.*LeRobot info.json"),
    ("half info", lambda d: truncate(d / layout.INFO_PATH), "meta/info.json.*LeRobot info.json"),
    ("binary info", lambda d: (d / layout.INFO_PATH).write_bytes(b"\xff\xfe"), "meta/info.json"),
    ("a list", lambda d: (d / layout.INFO_PATH).write_text("[]"), "info.json: got list"),
    ("no tasks", lambda d: (d / layout.TASKS_PATH).unlink(), "meta/tasks.parquet.*readable"),
    ("half tasks", lambda d: truncate(d / layout.TASKS_PATH), "meta/tasks.parquet.*readable"),
    ("no stats", lambda d: (d / layout.STATISTICS_PATH).unlink(), "meta/stats.json"),
    ("half stats", lambda d: truncate(d / layout.STATISTICS_PATH), "meta/stats.json"),
    (
        "other stats",
        lambda d: edit(d / layout.STATISTICS_PATH, lambda s: s["action"].update(std=[1.0] * 7)),
        "meta/stats.json: action std",
    ),
    ("no episodes", lambda d: shutil.rmtree(d / "meta/episodes"), "meta/episodes: got no parquet"),
    ("half episodes", lambda d: truncate(d / EPISODES), f"{EPISODES}.*readable parquet"),
    ("no plan", lambda d: (d / layout.COLLECTION_PATH).unlink(), "meta/collection.json"),
    ("total_frames", lambda d: info(d, total_frames=37), "episodes and frames: .*expected .3, 37"),
    ("total_tasks", lambda d: info(d, total_tasks=5), "total_tasks: got 5, expected 2"),
    ("fps", lambda d: info(d, fps=30), "info.json: fps: got 30, expected 10"),
    ("fps and time", lambda d: info(d, fps=30), f"{DATA}: timestamp in row 1: got 0.1 s"),
    ("fps and film", lambda d: info(d, fps=30), f"{FRONT}: frames a second: got 10, expected 30"),
    ("no fps", lambda d: info(d, fps=None), "info.json: fps: got None, expected a value"),
    ("fps 0", lambda d: info(d, fps=0), "info.json: fps: got 0, expected .*above 0"),
    ("fps text", lambda d: info(d, fps="10"), "info.json: fps: got '10', expected a value"),
    ("paths", lambda d: info(d, data_path="data/{x}.parquet"), "data_path, video_path"),
    ("version", lambda d: info(d, codebase_version="v3.7"), "codebase_version: got v3.7, .*v3.0"),
    ("other robot", other_robot, "feature observation.state: got shape .6.*shoulder_pan.*shape .8"),
    ("same shape", same_shape, "feature observation.state: .*axis_angle1.*expected.*'rx'"),
    ("robot", lambda d: info(d, robot_type="panda"), "robot_type: got panda, expected arx5"),
    (
        "no cameras",
        lambda d: edit(
            d / layout.INFO_PATH,
            lambda i: [i["features"].pop(f"observation.images.{c}") for c in CAMERAS],
        ),
        "features: got .*expected at least one observation.images",
    ),
    (
        "channels first",
        lambda d: feature(d, "observation.images.front", shape=[3, 32, 32]),
        r"shape of observation.images.front: got \[3, 32, 32\], expected \[height, width, 3\]",
    ),
]
VIDEOS = [
    ("truncated", lambda d: truncate(d / FRONT), f"{FRONT}.*readable mp4"),
    ("empty", lambda d: (d / WRIST).write_bytes(b""), f"{WRIST}.*readable mp4"),
    ("missing", lambda d: (d / WRIST).unlink(), f"{WRIST}.*readable mp4"),
    ("damaged", lambda d: overwrite(d / FRONT), FRONT),
    ("short", lambda d: film(d / FRONT, 30, SIZE), f"{FRONT}: frames: got 30, expected 36"),
    ("long", lambda d: film(d / FRONT, 40, SIZE), f"{FRONT}: frames: got 40, expected 36"),
    ("size", lambda d: film(d / FRONT, 36, (64, 32)), f"{FRONT}: size of frame 0"),
    ("rate", lambda d: film(d / FRONT, 36, SIZE, 30), f"{FRONT}: frames a second: got 30"),
    ("swapped", swap_videos, f"{FRONT}: mean colour of episode 0"),
    ("one picture", lambda d: film(d / FRONT, 36, SIZE), f"{FRONT}: mean colour of episode"),
]


def test_a_good_dataset_has_no_faults(good: Path) -> None:
    faults, summary = check(good, progress=False)
    assert not faults
    assert summary["episodes"] == {"pick": 2, "place": 1} and summary["frames"] == 36


@pytest.mark.parametrize(
    ("damage", "message"), [case[1:] for case in TABLES + META + VIDEOS],
    ids=[case[0] for case in TABLES + META + VIDEOS],
)  # fmt: skip
def test_every_damage_is_named_with_what_is_right(
    dataset: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(dataset)
    faults, _ = check(dataset, progress=False)
    found = [fault for fault in faults if re.search(message, fault)]
    assert found, faults
    assert all("got" in fault and "expected" in fault for fault in faults)


def test_faults_of_tables_and_videos_are_listed_together(dataset: Path) -> None:
    truncate(dataset / DATA)
    truncate(dataset / WRIST)
    info(dataset, robot_type="panda")
    faults, _ = check(dataset, progress=False)
    assert len(faults) == 3
    assert [name for name in (DATA, "robot_type", WRIST) if any(name in f for f in faults)] == [
        DATA, "robot_type", WRIST,
    ]  # fmt: skip


def test_an_older_format_is_told_how_to_become_a_newer_one(tmp_path: Path) -> None:
    """The layout of LeRobot v2.1: a file an episode, JSON lines for what is known of them."""
    folder = tmp_path / "old"
    (folder / "meta").mkdir(parents=True)
    paths = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/{episode_index:06d}.mp4",
    }
    counts = {"total_episodes": 1, "total_frames": 2, "total_tasks": 1, "total_chunks": 1}
    content = {"codebase_version": "v2.1", "robot_type": "so100", "fps": 30, "features": {}}
    (folder / layout.INFO_PATH).write_text(json.dumps(content | counts | paths))
    (folder / "meta/episodes.jsonl").write_text('{"episode_index": 0, "tasks": ["x"], "length": 2}')
    faults, summary = check(folder, progress=False)
    assert len(faults) == 1 and not summary
    assert "info.json: codebase_version: got v2.1, expected v3.0" in faults[0]
    assert "convert_dataset_v21_to_v30" in faults[0]


def test_half_written_folders_are_told_from_datasets(tmp_path: Path) -> None:
    path = tmp_path / "demo"
    DatasetWriter(path, CAMERAS, SIZE).add_episode(episode("pick", 7, 5))
    for folder in (path, path.with_name("demo.partial")):
        (fault,), _ = check(folder, progress=False)
        assert str(folder) in fault and "run the same `vla collect` again" in fault
    assert "1 episodes" in check(path, progress=False)[0][0]
    (tmp_path / "file").touch()
    assert "got a file" in check(tmp_path / "file", progress=False)[0][0]
    assert "nothing there" in check(tmp_path / "nowhere", progress=False)[0][0]
    (tmp_path / "empty").mkdir()
    assert "meta/info.json" in check(tmp_path / "empty", progress=False)[0][0]


def test_a_synthetic_dataset_is_told_from_others(tmp_path: Path) -> None:
    (fault,), _ = check(on_disk(tmp_path / "set", ftncfm_frames()), progress=False)
    assert "set: got a synthetic dataset" in fault and "for `vla train`" in fault


def test_training_refuses_another_rate(dataset: Path) -> None:
    info(dataset, fps=30)
    with pytest.raises(DatasetError, match=r"info\.json: fps: got 30, expected 10"):
        open_frames([dataset], progress=False)


def test_training_refuses_another_arms_numbers_too(dataset: Path) -> None:
    same_shape(dataset)
    with pytest.raises(DatasetError, match="axis_angle1"):
        Dataset(dataset)


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_never_surprises(dataset: Path, seed: int) -> None:
    """Bytes cut or overwritten anywhere end in a fault or in nothing, never in a traceback."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in dataset.rglob("*") if p.is_file())
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    start = int(rng.integers(len(content)))
    if rng.random() < 0.5:
        del content[start:]
    else:
        stop = min(start + int(rng.integers(1, 64)), len(content))
        content[start:stop] = rng.bytes(stop - start)
    path.write_bytes(content)
    faults, _ = check(dataset, progress=False)
    assert all("expected" in fault for fault in faults)


def test_the_verb_ends_in_1_and_lists_the_faults(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "check", str(dataset)]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
    truncate(dataset / FRONT)
    assert main(["dataset", "check", str(dataset)]) == 1
    assert FRONT in json.loads(capsys.readouterr().out)["faults"][0]
