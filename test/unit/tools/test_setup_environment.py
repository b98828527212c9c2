"""The shell that `source env.sh` gives."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.environment import environment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """What the environment looks at, in a path with a space and a quote."""
    root = tmp_path / "my robot's workspace"
    for folder in (
        ".venv/share/ament_index",
        ".venv/bin",
        "tools",
        "sim",
        "install/vla_msgs/share",
        "install/vla_msgs/lib/python3.11/site-packages",
        "install/lean_vla/share",
        "install/lean_vla/lib/lean_vla",
    ):
        (root / folder).mkdir(parents=True)
    for file in ("env.sh", "tools/environment.py"):
        shutil.copy(ROOT / file, root / file)
    return root


def test_built_packages_come_before_ros(workspace: Path) -> None:
    got = environment(workspace, {"AMENT_PREFIX_PATH": "/opt/ros/jazzy", "PATH": "/bin"})
    install = workspace / "install"
    wanted = [install / "lean_vla", install / "vla_msgs", workspace / ".venv", "/opt/ros/jazzy"]
    assert got["AMENT_PREFIX_PATH"].split(os.pathsep) == [str(path) for path in wanted]
    assert got["PATH"].split(os.pathsep)[-1] == "/bin"
    assert str(install / "vla_msgs/lib/python3.11/site-packages") in got["PYTHONPATH"]


def test_twice_is_the_same_as_once(workspace: Path) -> None:
    once = environment(workspace, {"PATH": "/bin"})
    assert environment(workspace, once) == once


def test_the_users_choices_stand(workspace: Path) -> None:
    got = environment(workspace, {"MUJOCO_GL": "osmesa", "RMW_IMPLEMENTATION": "rmw_zenoh_cpp"})
    assert got["MUJOCO_GL"] == "osmesa"
    assert got["RMW_IMPLEMENTATION"] == "rmw_zenoh_cpp"


def test_a_sourced_ros_is_left_alone(workspace: Path) -> None:
    shutil.rmtree(workspace / ".venv" / "share")
    got = environment(workspace, {"ROS_DISTRO": "kilted", "AMENT_PREFIX_PATH": "/opt/ros/kilted"})
    assert "ROS_DISTRO" not in got
    assert str(workspace / ".venv") not in got["AMENT_PREFIX_PATH"].split(os.pathsep)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_env_sh_from_any_folder(workspace: Path, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (workspace / ".venv/bin/python").symlink_to(shutil.which("python3") or "")
    script = 'source "$1/env.sh" && printf "%s\\n" "$AMENT_PREFIX_PATH" "$VIRTUAL_ENV"'
    run = subprocess.run(
        [shell, "-c", script, shell, str(workspace)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        text=True,
        capture_output=True,
        check=True,
    )
    prefixes, venv = run.stdout.splitlines()
    assert prefixes.split(os.pathsep)[0] == str(workspace / "install" / "lean_vla")
    assert venv == str(workspace / ".venv")


def test_env_sh_says_that_set_up_is_needed(workspace: Path) -> None:
    run = subprocess.run(
        ["bash", "-c", 'source "$1/env.sh"', "bash", str(workspace)], text=True, capture_output=True
    )
    assert run.returncode == 1
    assert "make setup" in run.stderr
