"""The page about a dataset: complete in itself, fair in what it shows, and never half written."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from vla_distill.cli.main import main
from vla_distill.dataset import Dataset, DatasetWriter, EpisodeFrames, EpisodeRecord
from vla_distill.report.dataset_charts import runs
from vla_distill.report.dataset_page import sample

CAMERAS, SIZE = ("front", "wrist"), (32, 32)
MARKS = (0, 0, 1, 1, 1, 0, 2, 2, 0, 1)


def episode(task: str, seed: int, instruction: str) -> EpisodeFrames:
    rng = np.random.default_rng(seed)
    action = rng.uniform(0.0, 0.08, (len(MARKS), 7)).astype(np.float32)
    return EpisodeFrames(
        images={
            camera: rng.integers(0, 255, (len(MARKS), *SIZE, 3), np.uint8) for camera in CAMERAS
        },
        state=np.concatenate([action, action[:, 6:]], axis=1),
        action=action,
        keypoints=rng.uniform(0.1, 0.3, (len(MARKS), 6)).astype(np.float32),
        disturbance=np.array(MARKS, np.int64),
        instruction=instruction,
        task=task,
        seed=seed,
        noise="drift, an error",
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "demo"
    writer = DatasetWriter(path, CAMERAS, SIZE, collection={"noise": 1.0})
    writer.add_episode(episode("pick", 7, "pick <b>the</b> cube & lift it"))
    writer.add_episode(episode("pick", 8, "pick the cube"))
    writer.add_episode(episode("place", 7, "place the cube"))
    return writer.finish()


@pytest.fixture(scope="module")
def page(dataset: Path) -> str:
    out = dataset.with_name("page.html")
    assert main(["dataset", "view", str(dataset), "--out", str(out), "--episodes", "2"]) == 0
    assert [p.name for p in out.parent.iterdir() if p.name.endswith(".html")] == ["page.html"]
    return out.read_text()


def test_the_page_needs_nothing_else(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert not re.findall(r"url\((?!#)", page)


def test_a_clip_holds_every_frame_of_both_cameras(page: str) -> None:
    clips = re.findall(r'src="data:video/mp4;base64,([^"]*)"', page)
    assert len(clips) == 2
    for clip in clips:
        with av.open(io.BytesIO(base64.b64decode(clip))) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            assert container.streams.video[0].average_rate == 10
        assert len(frames) == len(MARKS)
        height, width = frames[0].shape[:2]
        assert width == 2 * height


def test_the_page_says_instruction_task_and_what_the_axes_are(page: str) -> None:
    assert "pick &lt;b&gt;the&lt;/b&gt; cube &amp; lift it" in page and "<b>the</b>" not in page
    assert "pick, episode 0, seed 7" in page and "place, episode 1, seed 7" in page
    for text in ("position [cm]", "rotation [rad]", "gripper [mm]", "time [s]", "length [s]"):
        assert text in page
    for name in ("x", "y", "z", "rx", "ry", "rz", "state", "action", "drift added"):
        assert re.search(rf"<text[^>]*>{name}</text>", page), name
    assert page.count("drift, an error") == 2


def test_counts_are_those_of_the_dataset(page: str) -> None:
    text = re.sub(r"<svg.*?</svg>|<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL)
    words = " ".join(text.split())
    for figure in ("3 episodes", "2 tasks", "3 different instructions", "30 frames", "60%"):
        assert figure in words
    # Of each task: episodes, instructions, median length, drift, injected errors.
    assert "pick 2 2 1.0 s 40 % 20 %" in words and "place 1 1 1.0 s 40 % 20 %" in words


def test_disturbances_are_marked_where_they_were() -> None:
    assert runs(np.array(MARKS)) == [(1, 2, 5), (2, 6, 8), (1, 9, 10)]
    assert runs(np.zeros(4, np.int64)) == []
    assert runs(np.ones(3, np.int64)) == [(1, 0, 3)]


def _records(**tasks: int) -> list[EpisodeRecord]:
    names = [task for task, count in tasks.items() for _ in range(count)]
    return [
        EpisodeRecord(index, task, task, index, "none", index, index + 1, (0, 0), {}, {})
        for index, task in enumerate(names)
    ]


def test_tasks_take_turns_in_the_sample() -> None:
    records = _records(reach=10, pick=10, insert=1)
    picked = [record.task for record in sample(records, 6)]
    assert [picked.count(task) for task in ("reach", "pick", "insert")] == [3, 2, 1]
    assert [record.index for record in sample(records, 6)][:3] == [0, 4, 9]
    assert len(sample(records, 100)) == len(records) == len({r.index for r in sample(records, 100)})
    assert [record.task for record in sample(records, 2)] == ["reach", "pick"]


def test_bad_words_and_bad_data_are_refused_and_leave_no_page(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    cases = {
        "episodes: got 0": [str(dataset), "--out", str(out), "--episodes", "0"],
        "got a folder": [str(dataset), "--out", str(tmp_path)],
        "nothing there": [str(tmp_path / "nowhere"), "--out", str(out)],
    }
    for message, words in cases.items():
        assert main(["dataset", "view", *words]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_dataset_that_does_not_say_how_it_was_made_can_be_seen(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dataset / "meta/collection.json").rename(tmp_path / "collection.json")
    try:
        assert main(["dataset", "view", str(dataset), "--out", str(tmp_path / "page.html")]) == 0
    finally:
        (tmp_path / "collection.json").rename(dataset / "meta/collection.json")
    assert json.loads(capsys.readouterr().out)["episodes"] == [0, 2, 1]
    assert len(Dataset(dataset).episodes) == 3
