"""`vla launch` ends with exit code 0 and leaves no process behind, however it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

LAUNCH_FILE = """
import sys
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.ros_adapters import get_ros_node

CODE = "import sys, signal; print('up', sys.argv[1], flush=True); signal.pause()"

def generate_launch_description():
    word = LaunchConfiguration("word")
    return LaunchDescription([
        DeclareLaunchArgument("word", default_value="one", description="what to print"),
        OpaqueFunction(function=lambda context: get_ros_node(context) and None),
        ExecuteProcess(cmd=[sys.executable, "-c", CODE, word], output="screen"),
        ExecuteProcess(cmd=[sys.executable, "-c", CODE, word], output="screen"),
    ])
"""


@pytest.fixture
def launch_file(tmp_path: Path) -> Path:
    path = tmp_path / "two.launch.py"
    path.write_text(LAUNCH_FILE)
    return path


def vla_launch(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vla_distill.cli.main", "launch", *words],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("name", "times"), [("SIGINT", 1), ("SIGINT", 20), ("SIGTERM", 1), ("SIGHUP", 1)]
)
def test_leaves_no_process(launch_file: Path, name: str, times: int) -> None:
    process = vla_launch(str(launch_file), "word:=hello")
    assert process.stdout is not None
    ready = 0
    for line in process.stdout:
        ready += "up hello" in line
        if ready == 2:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    if name == "SIGINT":
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: the whole group gets it
            time.sleep(0.001)
    else:
        process.send_signal(signal.Signals[name])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_misspelt_argument_is_an_error(launch_file: Path) -> None:
    process = vla_launch(str(launch_file), "wrod:=hello")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "did you mean 'word'" in output
    assert "Traceback" not in output
