"""Videos, contact sheets and the report page: complete, readable, and never half written."""

import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vla_distill.errors import DistillError
from vla_distill.evaluation.episode import EpisodeResult
from vla_distill.report.charts import stages
from vla_distill.report.contact_sheet import contact_sheet
from vla_distill.report.episode_log import EpisodeLog, read_log, read_pictures
from vla_distill.report.page import write_page
from vla_distill.report.video import VideoWriter, beside, caption, fit


def _log(count: int = 50, success: bool = True) -> EpisodeLog:
    time = (np.arange(count) * 0.02).astype(np.float64)
    poses = np.stack([np.sin(time + phase) for phase in range(7)], axis=1) * 0.1
    chunk_time = time[::10]
    return EpisodeLog(
        task="place",
        seed=3,
        instruction="put <the> red cube in the bowl",
        success=success,
        reason="done" if success else "time limit",
        seconds=1.0,
        wall_seconds=1.4,
        time=time,
        measured=poses,
        commanded=poses,
        chunk_time=chunk_time,
        chunk_ms=np.tile([5.0, 10.0, 8.0, 25.0], (len(chunk_time), 1)),
        chunk_gflops=np.full(len(chunk_time), 1.5),
    )


def test_a_video_has_every_frame_and_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    writer = VideoWriter(path, fps=10)
    for shade in range(7):
        writer.add(np.full((64, 80, 3), shade * 30, np.uint8))
    assert not path.exists()
    writer.close()
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 7
    assert abs(int(frames[3].to_ndarray(format="rgb24").mean()) - 90) < 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("shape", [(480, 640, 3), (95, 97, 3), (240, 320, 3)])
def test_a_caption_is_added_below_and_the_sides_stay_even(shape: tuple[int, int, int]) -> None:
    frame = np.full(shape, 100, np.uint8)
    picture = caption(frame, "put the red cube in the bowl, please, " * 5, "1.0 s")
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
    assert (picture[: shape[0], : picture.shape[1]] == 100).all()
    assert picture[shape[0] :].max() > 200


def test_long_text_is_cut_to_fit() -> None:
    assert fit("short", 400, 0.8) == "short"
    assert fit("a very long instruction " * 10, 200, 0.8).endswith("...")


def test_cameras_stand_beside_the_frame_and_leave_it_alone() -> None:
    frame = np.zeros((480, 640, 3), np.uint8)
    cameras = {name: np.full((96, 96, 3), 200, np.uint8) for name in ("front", "wrist")}
    picture = beside(frame, cameras)
    assert picture.shape == (480, 880, 3)
    assert (picture[:, :640] == 0).all()
    assert (picture[20:200, 660:860] == 200).all()
    assert beside(frame, {}) is frame


def _result(task: str, seed: int, success: bool) -> EpisodeResult:
    cause = "" if success else "dropped"
    return EpisodeResult(
        task, seed, "pick up the red cube", "red cube", success, 4.0, cause, 0.5, 20, 0, 0, 0, 1.0
    )


def test_the_contact_sheet_shows_failures_only(tmp_path: Path) -> None:
    results = [_result("pick", seed, success=seed % 2 == 0) for seed in range(10)]
    (tmp_path / "failures").mkdir()
    cv2.imwrite(str(tmp_path / "failures/pick_00001.jpg"), np.full((480, 640, 3), 200, np.uint8))
    path = contact_sheet(tmp_path, results)
    assert path is not None
    sheet = cv2.imread(str(path))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 320
    assert sheet[100, 100].mean() > 150
    assert contact_sheet(tmp_path, results[::2]) is None
    assert not path.exists()


def test_the_page_stands_alone_and_escapes_what_it_quotes(tmp_path: Path) -> None:
    film = [np.full((48, 64, 3), shade, np.uint8) for shade in range(10)]
    path = tmp_path / "report.html"
    logs = [_log(), _log(success=False), _log(count=0)]
    write_page(path, logs, [film, film, []], title="T", subtitle="S", facts={"commit": "abc"})
    text = path.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "&lt;the&gt; red cube" in text
    assert text.count("<svg") == 12
    assert "1 of 3" not in text
    assert "2 of 3" in text
    # Every colour of a chart comes from the page.
    assert not re.findall(r"stroke: #0[1-7]0[1-7]0[1-7]", text)


def test_stages_sum_to_the_total() -> None:
    names, parts = stages(np.array([[5.0, 10.0, 8.0, 25.0], [5.0, 10.0, 8.0, 22.0]]))
    assert names == ["vision", "language", "head", "other"]
    assert parts[:, 3].tolist() == [2.0, 0.0]


def test_a_broken_log_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    with pytest.raises(DistillError, match=r"log\.json"):
        read_log(path)
    path.write_text('{"task": "pick"}')
    with pytest.raises(DistillError, match="time"):
        read_log(path)


def test_pictures_are_found_by_camera_and_time(tmp_path: Path) -> None:
    for name in ("front_000100.jpg", "front_000000.jpg", "wrist_000100.jpg"):
        (tmp_path / name).touch()
    found = read_pictures(tmp_path)
    assert list(found["front"]) == [0, 100]
    assert found["wrist"][100].name == "wrist_000100.jpg"
