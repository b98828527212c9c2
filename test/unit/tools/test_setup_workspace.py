"""What the set-up finds missing, it says at once and with the line that installs it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import setup_workspace
from tools.setup_workspace import Workspace, has_system_ros
from tools.steps import SetupError, digest


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No build tools, no EGL."""
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(setup_workspace.shutil, "which", lambda name: None)
    monkeypatch.setattr(setup_workspace, "loads", lambda library: False)


@pytest.fixture
def sourced_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that sourced /opt/ros/jazzy."""
    origin = SimpleNamespace(origin="/opt/ros/jazzy/lib/python3.12/site-packages/rclpy/__init__.py")
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(setup_workspace.importlib.util, "find_spec", lambda name: origin)


@pytest.mark.usefixtures("bare_machine")
def test_everything_missing_is_named_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        Workspace(tmp_path).check()
    text = str(caught.value)
    for package in ("cmake", "g++", "libegl1", "libegl-mesa0", "libopengl0"):
        assert package in text
    assert "apt-get install -y cmake g++" in text


def test_an_unsupported_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_workspace, "PYTHON_VERSIONS", ((3, 7), (3, 8)))
    with pytest.raises(SetupError, match=r"expected 3\.7 to 3\.8.*PYTHON="):
        Workspace(tmp_path).check()


@pytest.mark.usefixtures("sourced_ros")
def test_a_sourced_ros_needs_no_wheels(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.system_ros
    assert "ros" not in [step.name for step in workspace.steps()]


@pytest.mark.usefixtures("sourced_ros")
def test_two_ros_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "share" / "ament_index").mkdir(parents=True)
    with pytest.raises(SetupError, match="jazzy is sourced, but"):
        Workspace(tmp_path).check()


def test_our_own_wheels_are_no_sourced_ros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = SimpleNamespace(origin=str(tmp_path / ".venv/lib/site-packages/rclpy/__init__.py"))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(setup_workspace.importlib.util, "find_spec", lambda name: ours)
    assert not has_system_ros(tmp_path / ".venv")


def test_without_a_sourced_ros_the_wheels_come_before_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    names = [step.name for step in Workspace(tmp_path).steps()]
    assert names == ["venv", "requirements", "ros", "ros_paths", "build"]


def test_a_new_launch_file_asks_for_a_build(tmp_path: Path) -> None:
    launch = tmp_path / "launch"
    launch.mkdir()
    before = digest(Workspace(tmp_path).build_inputs())
    (launch / "new.launch.py").touch()
    assert digest(Workspace(tmp_path).build_inputs()) != before
