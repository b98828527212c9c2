"""The demo's own part, with small scripts in place of the ROS graph."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest

from vla_distill import demo, graph
from vla_distill.demo import DemoConfig
from vla_distill.errors import DistillError
from vla_distill.graph import GraphError, drive

# A shell in the background starts its children deaf to Ctrl-C.
WAIT = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); signal.pause()"

NODES = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
grandchild = subprocess.Popen([sys.executable, '-c', '{WAIT}'])
with open(sys.argv[1], 'w') as fifo:
    print(os.getpid(), grandchild.pid, file=fifo)
signal.pause()
"""

SESSION = """
import json, sys
from pathlib import Path
import cv2, numpy as np
out = Path(sys.argv[1])
print('a line that is no event')
for index, success in enumerate((True, False)):
    folder = out / f'{index:02d}'
    folder.mkdir(parents=True)
    for at in range(0, 400, 100):
        for name, shape in (('overview', (480, 640, 3)), ('front', (96, 96, 3))):
            cv2.imwrite(str(folder / f'{name}_{at:06d}.jpg'), np.full(shape, at // 2, np.uint8))
    ending = dict(task='pick', seed=index, instruction='pick up the red cube', success=success,
                  reason='done' if success else 'time limit', seconds=0.3, wall_seconds=0.5)
    columns = dict(time=[0.0, 0.02], measured=[[0.0] * 7] * 2, commanded=[[0.0] * 7] * 2,
                   chunk_time=[0.0], chunk_ms=[[1, 2, 3, 7]], chunk_gflops=[1.0])
    (folder / 'log.json').write_text(json.dumps({**ending, **columns}))
    print(json.dumps({'event': 'end', 'index': index, **ending}), flush=True)
"""


def _ends(pid: int, timeout: float = 5.0) -> bool:
    """Whether the process is gone, or ends within the time: it may just have been killed."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("interrupted", [False, True])
def test_nothing_is_left_running(tmp_path: Path, interrupted: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client = "import json, sys; pids = [int(word) for word in open(sys.argv[1]).read().split()]"
    client += "; print(json.dumps({'event': 'ready', 'pids': pids}))"
    events: list[Mapping[str, Any]] = []

    def tell(event: Mapping[str, Any]) -> None:
        events.append(event)
        if interrupted and event["event"] == "ready":
            raise KeyboardInterrupt

    python = [sys.executable, "-c"]
    nodes, session = [*python, NODES, str(fifo)], [*python, client, str(fifo)]
    with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
        drive(nodes, session, tmp_path / "log", tell)
    assert [event["event"] for event in events] == ["launch", "ready"]
    assert len(events[1]["pids"]) == 2
    assert all(_ends(pid) for pid in events[1]["pids"])


def test_nodes_that_die_are_told_at_once_with_the_end_of_their_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "LOOK_SECONDS", 0.02)
    dying = [sys.executable, "-c", "print('no such policy'); raise SystemExit(3)"]
    waiting = [sys.executable, "-c", WAIT]
    with pytest.raises(GraphError, match=r"(?s)exit code 3.*no such policy"):
        drive(dying, waiting, tmp_path / "log", lambda event: None)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ('print(\'{"event": "error", "message": "no arm"}\')', "no arm"),
        ("raise SystemExit(4)", "exit code 4"),
    ],
)
def test_a_session_that_fails_is_told(tmp_path: Path, program: str, says: str) -> None:
    waiting = [sys.executable, "-c", WAIT]
    with pytest.raises(GraphError, match=says):
        drive(waiting, [sys.executable, "-c", program], tmp_path / "log", lambda event: None)


def test_the_children_have_a_domain_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    assert 1 <= int(graph.graph_environment()["ROS_DOMAIN_ID"]) <= 101
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    assert graph.graph_environment()["ROS_DOMAIN_ID"] == "7"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with scripts in place of nodes and client."""
    waiting = [sys.executable, "-c", WAIT]
    monkeypatch.setattr(
        demo.importlib.util, "find_spec", lambda name: SimpleNamespace(origin="there")
    )
    monkeypatch.setattr(demo, "launch_command", lambda arguments: waiting)
    monkeypatch.setattr(
        demo,
        "_session",
        lambda config, folder: [sys.executable, "-c", SESSION, str(folder / "episodes")],
    )


@pytest.mark.usefixtures("scripted")
def test_the_demo_leaves_result_video_and_report_in_place_of_the_old(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "demo"
    out.mkdir(parents=True)
    (out / "old").touch()
    events: list[Mapping[str, Any]] = []
    result = demo.run(DemoConfig(out=out), events.append)
    assert result["success_rate"] == 0.5
    assert {"task", "instruction", "success", "seconds"} <= result["episodes"][0].keys()
    assert json.loads((out / "result.json").read_text()) == result
    assert sorted(path.name for path in out.iterdir()) == [
        "demo.mp4",
        "episodes",
        "report.html",
        "result.json",
    ]
    assert sorted(path.name for path in out.parent.iterdir()) == ["demo", "demo.log"]
    assert "1 of 2" in (out / "report.html").read_text()
    assert [event["event"] for event in events] == ["launch", "end", "end", "report"]
    capture = cv2.VideoCapture(str(out / "demo.mp4"))
    # 4 pictures an episode, and the last one for a second more.
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 2 * (4 + demo.FPS)


@pytest.mark.usefixtures("scripted")
def test_a_failed_demo_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "old").touch()
    failing = [sys.executable, "-c", "raise SystemExit(1)"]
    monkeypatch.setattr(demo, "_session", lambda config, folder: failing)
    with pytest.raises(GraphError):
        demo.run(DemoConfig(out=out), lambda event: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "demo.log"]
    assert (out / "old").exists()


def test_without_ros_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DistillError, match="make setup"):
        demo.run(DemoConfig(out=tmp_path / "demo"), lambda event: None)


def test_episodes_of_the_demo_are_evaluation_seeds() -> None:
    from vla_distill.evaluation.episode import EVALUATION_SEEDS

    assert [task for task, _ in demo.EPISODES] == ["reach", "pick", "place", "place"]
    assert all(seed in EVALUATION_SEEDS for _, seed in demo.EPISODES)
