"""The package builds as a user builds it: from a parent folder, in a path with a space in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools.environment import environment

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCE = {".git", ".venv", "build", "install", "log", "runs", "data", "test"}
SEARCH_PATHS = (
    "PATH",
    "PYTHONPATH",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
)

BUILD_TIMEOUT = 1200.0  # half a minute on two free cores; much more when they are not free [s]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(BUILD_TIMEOUT + 60.0)]


def outside() -> dict[str, str]:
    """The environment of a user who has ROS 2 and our Python packages, but not our repository."""
    result = {**os.environ, **environment(ROOT, os.environ)}
    venv = str(ROOT / ".venv")
    for name in SEARCH_PATHS:
        parts = [part for part in result.get(name, "").split(os.pathsep) if part]
        parts = [p for p in parts if not p.startswith(str(ROOT)) or p.startswith(venv)]
        result[name] = os.pathsep.join(parts)
    return {name: value for name, value in result.items() if value}


def run(
    command: list[str], folder: Path, variables: Mapping[str, str], timeout: float = 120.0
) -> str:
    """Run a command and return what it prints; a failure shows it."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(variables),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def skip_others(folder: str, names: list[str]) -> set[str]:
    """Leave out what is no source, at the top of the repository only."""
    top = NOT_SOURCE if Path(folder) == ROOT else set()
    return {name for name in names if name in top or name == "__pycache__"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's workspace in a path with a space, built with the README's command."""
    folder = tmp_path_factory.mktemp("home") / "my workspace"
    shutil.copytree(ROOT, folder / "src" / "lean_vla", ignore=skip_others)
    base_paths = ["src/lean_vla", "src/lean_vla/vla_msgs"]
    run(["colcon", "build", "--base-paths", *base_paths], folder, outside(), timeout=BUILD_TIMEOUT)
    return folder


def in_workspace(workspace: Path, script: str) -> str:
    """Run a script in a shell that sourced what colcon installed."""
    return run(["bash", "-c", f"source install/setup.bash && {script}"], workspace, outside())


def test_builds_both_packages_from_a_parent_folder(workspace: Path) -> None:
    for name in ("lean_vla", "vla_msgs"):
        assert (workspace / "install" / name / "share" / name / "package.xml").is_file()


def test_installed_modules_and_messages_import(workspace: Path) -> None:
    rooms = "vla_policy, vla_arm, vla_sim, vla_policy_node, vla_distill"
    code = f"import {rooms}, vla_msgs.msg, vla_msgs.srv, vla_msgs.action; print(vla_sim.__file__)"
    where = in_workspace(workspace, f"python3 -c '{code}'").splitlines()[-1]
    assert Path(where).is_relative_to(workspace / "install")


def test_installed_executables_run(workspace: Path) -> None:
    listed = in_workspace(workspace, "ros2 pkg executables lean_vla").split()
    assert {"vla", "policy_node", "arm_node", "sim_node"} <= set(listed)
    assert "verbs:" in in_workspace(workspace, "ros2 run lean_vla vla --help")


def test_installed_launch_files_are_found(workspace: Path) -> None:
    text = in_workspace(workspace, "ros2 run lean_vla vla launch sim.launch.py --show-args")
    assert "policy" in text


def test_the_repository_itself_may_lie_in_a_path_with_a_space(workspace: Path) -> None:
    root = workspace / "src" / "lean_vla"
    (root / ".venv").symlink_to(ROOT / ".venv")
    (root / "install").mkdir()
    (root / "install" / "vla_msgs").symlink_to(workspace / "install" / "vla_msgs")
    build = "colcon build --packages-select lean_vla"
    script = f"source env.sh && {build} && source env.sh && vla --help && which vla"
    lines = run(["bash", "-c", script], root, outside(), timeout=BUILD_TIMEOUT).splitlines()
    assert "verbs:" in lines
    assert lines[-1] == str(root / "install" / "lean_vla" / "lib" / "lean_vla" / "vla")


def test_set_up_has_nothing_to_do_when_nothing_changed() -> None:
    if not (ROOT / ".venv" / ".setup" / "build.stamp").exists():
        pytest.skip("this environment was not made by make setup")
    text = run([sys.executable, "tools/setup_workspace.py"], ROOT, outside())
    assert text.strip().endswith("nothing to do")
