"""Laws of the dataset on disk: what goes in comes out, no halves show, errors name files."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from vla_distill.dataset import (
    Dataset,
    DatasetError,
    DatasetWriter,
    EpisodeFrames,
    layout,
    statistics,
    video,
)
from vla_distill.dataset.check import check

CAMERAS = ("front", "wrist")
SIZE = (32, 32)


def episode(task: str, seed: int, length: int, noise: str = "none") -> EpisodeFrames:
    """Random numbers, and a coloured square that moves."""
    rng = np.random.default_rng([seed, length])
    images = {}
    for number, camera in enumerate(CAMERAS):
        frames = np.full((length, *SIZE, 3), rng.integers(60, 200, 3), np.uint8)
        for t in range(length):
            frames[t, 3 + t % 20 : 9 + t % 20, 5:11] = ((200, 20, 30), (10, 40, 220))[number]
        images[camera] = frames
    return EpisodeFrames(
        images=images,
        state=rng.uniform(0.0, 0.08, (length, 8)).astype(np.float32),
        action=rng.uniform(0.0, 0.08, (length, 7)).astype(np.float32),
        keypoints=rng.uniform(0.0, 0.3, (length, 6)).astype(np.float32),
        disturbance=(2 * (np.arange(length) // 4 == 1)).astype(np.int64),
        instruction=f"{task} the red cube {seed % 2}",
        task=task,
        seed=seed,
        noise=noise,
    )


EPISODES = [episode("pick", 7, 13), episode("place", 7, 25, "drift"), episode("pick", 8, 31)]


def write(path: Path) -> Path:
    writer = DatasetWriter(path, CAMERAS, SIZE, collection={"seed": 7})
    for frames in reversed(EPISODES):
        writer.add_episode(frames)
    return writer.finish()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("finished") / "demo")


@pytest.fixture
def dataset(finished: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(finished, tmp_path / "demo"))


def test_episodes_come_out_as_they_went_in(finished: Path) -> None:
    data = Dataset(finished)
    assert len(data) == sum(map(len, EPISODES)) and data.cameras == CAMERAS
    for index, frames in enumerate(EPISODES):
        got = data.episode(index)
        assert (got.task, got.seed, got.instruction) == (
            frames.task,
            frames.seed,
            frames.instruction,
        )
        assert got.noise == frames.noise
        for name in ("state", "action", "keypoints", "disturbance"):
            np.testing.assert_array_equal(getattr(got, name), getattr(frames, name))
        for camera in CAMERAS:
            error = np.abs(got.images[camera].astype(int) - frames.images[camera])
            assert error.max() <= 2  # nothing but the rounding of RGB to YUV and back


def test_layout_is_lerobot_v3(finished: Path) -> None:
    files = {p.relative_to(finished).as_posix() for p in finished.rglob("*") if p.is_file()}
    assert files >= {
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
        "videos/observation.images.front/chunk-000/file-000.mp4",
        "videos/observation.images.wrist/chunk-000/file-000.mp4",
    }
    info = json.loads((finished / layout.INFO_PATH).read_text())
    assert info["codebase_version"] == "v3.0" and info["splits"] == {"train": "0:3"}
    assert info["features"]["observation.images.front"]["info"]["video.crf"] == 0
    data = pq.read_table(finished / "data/chunk-000/file-000.parquet")
    columns = {key for key, f in info["features"].items() if f["dtype"] != "video"}
    assert set(data.column_names) == columns
    assert data["index"].to_pylist() == list(range(69))
    meta = pq.read_table(finished / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    ends = [row["videos/observation.images.front/to_timestamp"] for row in meta]
    assert ends == pytest.approx([1.3, 3.8, 6.9])
    stats = json.loads((finished / layout.STATISTICS_PATH).read_text())
    state = np.concatenate([e.state for e in EPISODES])
    np.testing.assert_allclose(stats["observation.state"]["mean"], state.mean(0), atol=1e-5)
    np.testing.assert_allclose(stats["observation.state"]["std"], state.std(0), atol=1e-5)
    assert np.shape(stats["observation.images.front"]["mean"]) == (3, 1, 1)
    tasks = pq.read_table(finished / layout.TASKS_PATH)
    assert set(tasks.column_names) == {"task", "task_index"}


def test_cache_equals_the_episodes_and_is_reused(dataset: Path) -> None:
    store = Dataset(dataset).cache(progress=False)
    data = Dataset(dataset)
    for record in data.episodes:
        got = data.episode(record.index)
        rows = slice(record.start, record.stop)
        np.testing.assert_array_equal(store.images[rows, 1], got.images["wrist"])
        np.testing.assert_array_equal(store.action[rows], got.action)
        assert store.instructions[store.instruction_index[record.start]] == record.instruction
    before = [p.stat().st_mtime_ns for p in dataset.glob(".cache/*/images.npy")]
    Dataset(dataset).cache(progress=False)
    assert [p.stat().st_mtime_ns for p in dataset.glob(".cache/*/images.npy")] == before


def test_a_disk_too_small_for_the_cache_is_named(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out before frames are written: a mapped file that finds no place kills the process."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    copy = shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache"))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DatasetError, match=r"copy/\.cache, .*No space left.*0 MiB of free disk"):
        Dataset(copy).cache(progress=False)
    assert [path.name for path in (copy / ".cache").iterdir()] == [".lock"]
    monkeypatch.undo()
    assert len(Dataset(copy).cache(progress=False)) == 69


def test_chunk_repeats_the_last_action(dataset: Path) -> None:
    store = Dataset(dataset).cache(progress=False)
    indices = store.chunk_indices(np.array([0, 10, 12, 13]), 4)
    mask = store.chunk_mask(np.array([0, 3, 5, 8, 13]), 4)
    wanted = [4, 2, 1, 4, 4]  # frames 4 to 7 of each episode are an injected error
    assert mask.sum(1).tolist() == wanted and mask[:, 0].all()
    assert indices.tolist() == [[0, 1, 2, 3], [10, 11, 12, 12], [12] * 4, [13, 14, 15, 16]]


def test_resumed_writing_gives_the_same_bytes(tmp_path: Path, finished: Path) -> None:
    path = tmp_path / "demo"
    first = DatasetWriter(path, CAMERAS, SIZE, collection={"seed": 7})
    first.add_episode(EPISODES[0])
    (first.partial / ".4242-pick-0000008").mkdir()  # a killed process leaves this behind
    resumed = DatasetWriter(path, CAMERAS, SIZE, collection={"seed": 7})
    assert resumed.has("pick", 7) and not resumed.has("pick", 8) and not path.exists()
    with pytest.raises(DatasetError, match="there already"):
        resumed.add_episode(EPISODES[0])
    for frames in EPISODES[1:]:
        resumed.add_episode(frames)
    resumed.finish()
    assert Dataset(path).content_hash == Dataset(finished).content_hash
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_writer_refuses_another_plan_and_bad_frames(tmp_path: Path, finished: Path) -> None:
    DatasetWriter(tmp_path / "demo", CAMERAS, SIZE, collection={"seed": 7})
    with pytest.raises(DatasetError, match="collection"):
        DatasetWriter(tmp_path / "demo", CAMERAS, SIZE, collection={"seed": 8})
    with pytest.raises(DatasetError, match="exists"):
        DatasetWriter(finished, CAMERAS, SIZE)
    writer = DatasetWriter(tmp_path / "other", CAMERAS, SIZE)
    bad = episode("pick", 9, 5)
    bad.state[2, 1] = np.nan
    with pytest.raises(DatasetError, match=r"pick-0000009: observation\.state"):
        writer.add_episode(bad)
    with pytest.raises(DatasetError, match="no episodes"):
        writer.finish()


def test_no_episode_is_dropped_without_a_word(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "demo", CAMERAS, SIZE)
    for frames in EPISODES:
        writer.add_episode(frames)
    with pytest.raises(DatasetError, match="got 3 episodes, 2 of them not asked for"):
        writer.finish([("pick", 8)])
    data = Dataset(writer.finish([("pick", 8), ("pick", 7), ("place", 7)]))
    assert [record.seed for record in data.episodes] == [8, 7, 7]


def test_a_dataset_that_cannot_be_written_to_is_named(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only mount; root may write everywhere else."""

    def read_only(path: Path, *_, **__) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(DatasetError, match=r"\.cache, .*Read-only.*expected .* a copy"):
        Dataset(dataset).cache(progress=False)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _edit(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: _truncate(d / "videos/observation.images.wrist/chunk-000/file-000.mp4"),
            "wrist",
        ),
        (lambda d: (d / "data/chunk-000/file-000.parquet").unlink(), r"data/chunk-000/file-000"),
        (lambda d: _truncate(d / "meta/tasks.parquet"), r"tasks\.parquet"),
        (
            lambda d: _edit(d / layout.INFO_PATH, "codebase_version", "v2.1"),
            "codebase_version.*v2.1",
        ),
        (lambda d: _edit(d / layout.INFO_PATH, "features", {}), r"feature observation\.state"),
        (lambda d: _edit(d / layout.INFO_PATH, "total_frames", 70), "episodes and frames"),
        (lambda d: (d / layout.INFO_PATH).write_text("{"), r"info\.json"),
        (lambda d: shutil.rmtree(d / "meta/episodes"), "meta/episodes"),
    ],
)
def test_damage_is_named(dataset: Path, damage, message: str) -> None:
    damage(dataset)
    with pytest.raises(DatasetError, match=message):
        Dataset(dataset).cache(progress=False)
    assert not list(dataset.glob(".cache/*frames-*"))


def test_foreign_columns_are_named(dataset: Path) -> None:
    path = dataset / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["action"]), path)
    with pytest.raises(DatasetError, match=r"file-000\.parquet: column.*action"):
        _ = Dataset(dataset).columns


def test_check_finds_nothing_in_a_good_dataset_and_all_faults_in_a_bad_one(dataset: Path) -> None:
    faults, summary = check(dataset, progress=False)
    assert not faults and summary["episodes"] == {"pick": 2, "place": 1}
    _truncate(dataset / "videos/observation.images.front/chunk-000/file-000.mp4")
    (dataset / layout.STATISTICS_PATH).unlink()
    faults, _ = check(dataset, progress=False)
    assert len(faults) == 2 and "stats.json" in faults[0] and "front" in faults[1]


def test_small_pictures_come_back_within_the_rounding_of_colours(tmp_path: Path) -> None:
    images = np.random.default_rng(96).integers(0, 256, (12, 96, 96, 3), np.uint8)
    video.encode(tmp_path / "a.mp4", images, 10)
    video.encode(tmp_path / "b.mp4", images[:5], 10)
    assert video.join([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "both.mp4", 10) == [
        12,
        5,
    ]
    decoded = dict(video.decode(tmp_path / "both.mp4", 10))
    assert sorted(decoded) == list(range(17))
    for number, image in decoded.items():
        assert np.abs(image.astype(int) - images[number % 12]).max() <= 2


def camera_pictures(count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What a camera saw, noise in it, and what its JPEGs of it say. Shape (T, 480, 640, 3)."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(60, 200, (12, 16, 3), np.uint8), (640, 480))
    seen = np.stack([np.roll(ground, 20 * t, axis=1) for t in range(count)])
    seen[:, 200:210, 300:310] = (200, 20, 30)
    seen = (seen + rng.integers(-4, 5, seen.shape)).astype(np.uint8)
    packed = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1] for image in seen]
    return seen, np.stack([cv2.imdecode(each, cv2.IMREAD_COLOR) for each in packed])


def test_a_cameras_pictures_lose_less_than_they_did_as_jpeg(tmp_path: Path) -> None:
    seen, images = camera_pictures(12)
    video.encode(tmp_path / "a.mp4", images, 10)
    decoded = np.stack([image for _, image in video.decode(tmp_path / "a.mp4", 10)])
    lost = np.abs(decoded.astype(int) - images)
    before = np.abs(images.astype(int) - seen)
    assert lost.mean() < 0.6 * before.mean()
    assert lost.max() <= 20 < before.max()  # also where a small thing's colour ends


def test_a_dataset_of_large_pictures_says_so_and_is_whole(tmp_path: Path) -> None:
    _, images = camera_pictures(4)
    frames = replace(EPISODES[0], **{
        name: getattr(EPISODES[0], name)[:4]
        for name in ("state", "action", "keypoints", "disturbance")
    }, images=dict.fromkeys(CAMERAS, images))  # fmt: skip
    writer = DatasetWriter(tmp_path / "large", CAMERAS, (480, 640))
    writer.add_episode(frames)
    data = Dataset(writer.finish())
    assert data.info["features"]["observation.images.wrist"]["info"]["video.crf"] > 0
    faults, _ = check(data.path, progress=False)
    assert not faults


def test_an_episode_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    class Broken(np.ndarray):
        def __iter__(self):
            raise OSError("a picture is gone")

    images = {name: array.view(Broken) for name, array in EPISODES[0].images.items()}
    writer = DatasetWriter(tmp_path / "demo", CAMERAS, SIZE)
    before = sorted(writer.partial.iterdir())
    with pytest.raises(OSError, match="a picture is gone"):
        writer.add_episode(replace(EPISODES[0], images=images))
    assert sorted(writer.partial.iterdir()) == before


@pytest.mark.parametrize("shape", [(20, 96, 128, 3), (3, 5, 4, 3), (1, 1, 1, 3)])
def test_statistics_of_pictures_are_those_of_their_numbers(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8) // np.uint8([1, 3, 50])
    picks = np.unique(np.linspace(0, len(images) - 1, min(8, len(images))).round().astype(int))
    wanted = statistics.of_vectors(images[picks, ::2, ::2].reshape(-1, 3) / 255.0)
    found = statistics.of_images(images)
    assert found.pop("count") == [len(picks)]
    assert found.keys() == wanted.keys() - {"count"}
    for name, value in found.items():
        assert np.shape(value) == (3, 1, 1)
        np.testing.assert_allclose(np.ravel(value), wanted[name], atol=1e-9)
