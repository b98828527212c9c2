"""Set up the workspace: virtual environment, ROS 2 unless one is sourced, packages, colcon build.

``make setup`` calls this. It may be interrupted and called again; what is done is not done twice.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.environment import environment
from tools.ros_wheels import TOOLS, TOOLS_WHEEL, install_tools, relocate
from tools.steps import SetupError, Step, StepRunner

PYTHON_VERSIONS = ((3, 10), (3, 13))
OLDEST_TORCH = (2, 11)
VENV_QUERY = """
import importlib.metadata, sysconfig
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
print(sysconfig.get_path("purelib")); print(sysconfig.get_path("include")); print(version("torch"))
try:
    import numpy; print(numpy.get_include())
except ImportError:
    print()
"""


def loads(library: str) -> bool:
    """Whether a shared library can be loaded."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_system_ros(venv: Path) -> bool:
    """Whether a ROS 2 is sourced and this Python can import it (not counting our own wheels)."""
    spec = importlib.util.find_spec("rclpy") if os.environ.get("ROS_DISTRO") else None
    return bool(spec and spec.origin and not Path(spec.origin).is_relative_to(venv))


def missing_packages(system_ros: bool, venv_exists: bool) -> list[str]:
    """Debian and Ubuntu packages that the set-up needs and does not find."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    checks: list[tuple[str, Callable[[], bool]]] = [
        ("cmake", lambda: shutil.which("cmake") is not None),
        ("g++", lambda: shutil.which("g++") is not None),
        ("make", lambda: shutil.which("make") is not None),
        ("python3-dev", header.is_file),
        (
            "python3-venv",
            lambda: venv_exists or importlib.util.find_spec("ensurepip") is not None,
        ),
        ("libegl1", lambda: loads("libEGL.so.1")),
        ("libegl-mesa0", lambda: loads("libEGL_nvidia.so.0") or loads("libEGL_mesa.so.0")),
        ("libopengl0", lambda: loads("libOpenGL.so.0")),
        (
            "libgl1-mesa-dri",
            lambda: (
                loads("libEGL_nvidia.so.0")
                or any(Path("/usr").glob("lib*/dri/*swrast*"))
                or any(Path("/usr/lib").glob("*/dri/*swrast*"))
            ),
        ),
    ]
    if system_ros:
        checks.append(
            ("python3-colcon-common-extensions", lambda: shutil.which("colcon") is not None)
        )
    return [package for package, found in checks if not found()]


class Workspace:
    """The steps of the set-up.

    Args:
        root: the repository.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.system_ros = has_system_ros(self.venv)

    def check(self) -> None:
        """Find everything that is missing, at once.

        Raises:
            SetupError: this Python is too old or too new, system packages are missing, or a ROS 2
                is sourced while .venv holds one.
        """
        low, high = PYTHON_VERSIONS
        if not low <= sys.version_info[:2] <= high:
            got = ".".join(map(str, sys.version_info[:2]))
            raise SetupError(
                f"Python {got}: expected 3.{low[1]} to 3.{high[1]}. Name another one: "
                f"make setup PYTHON=python3.{high[1] - 1}"
            )
        if self.system_ros and (self.venv / "share" / "ament_index").is_dir():
            raise SetupError(
                f"ROS 2 {os.environ['ROS_DISTRO']} is sourced, but .venv holds a ROS 2 of its own: "
                "use a shell that did not source ROS 2, or remove .venv to build on the sourced one"
            )
        missing = missing_packages(self.system_ros, self.python.exists())
        if missing:
            sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
            raise SetupError(
                f"missing on this machine: {', '.join(missing)}. On Debian and Ubuntu:\n"
                f"    {sudo}apt-get update && {sudo}apt-get install -y {' '.join(missing)}"
            )

    def steps(self) -> list[Step]:
        """What has to be done, in order."""
        system = os.environ.get("ROS_DISTRO", "") if self.system_ros else ""
        steps = [
            Step("venv", "virtual environment .venv", self.make_venv, [system], self.python.exists),
            Step(
                "requirements",
                "Python packages (torch, MuJoCo, ...: some minutes the first time)",
                self.install_requirements,
                [self.root / "requirements.txt"],
            ),
        ]
        if not self.system_ros:
            steps += [
                Step(
                    "ros",
                    "ROS 2 Jazzy from wheels",
                    self.install_ros,
                    [self.root / "requirements-ros.txt", TOOLS_WHEEL, *TOOLS],
                    lambda: (self.venv / "bin" / "ros2").exists(),
                ),
                Step("ros_paths", "paths in ROS 2's CMake files", self.fit_ros_paths),
            ]
        steps.append(
            Step(
                "build",
                "colcon build",
                self.build,
                self.build_inputs(),
                lambda: all(
                    (self.root / "install" / name / "share" / name / "package.xml").exists()
                    for name in ("lean_vla", "vla_msgs")
                ),
            )
        )
        return steps

    def build_inputs(self) -> list[str | Path]:
        """What the build depends on; not Python files' contents, as the build links to them."""
        files: list[Path] = [
            self.root / name
            for name in ("package.xml", "setup.py", "setup.cfg", "colcon_defaults.yaml")
        ]
        files += sorted(path for path in (self.root / "vla_msgs").rglob("*") if path.is_file())
        folders = [self.root / name for name in ("launch", "config", "checkpoints")]
        rooms = [path.parent.name for path in sorted(self.root.glob("*/__init__.py"))]
        return [str(self.root), *rooms, *files, *folders]

    def make_venv(self) -> None:
        """Create .venv, or keep it; with a sourced ROS 2 it sees the system's packages."""
        config = self.venv / "pyvenv.cfg"
        if self.python.exists() and (
            not self.system_ros or "include-system-site-packages = true" in config.read_text()
        ):
            return
        command = [sys.executable, "-m", "venv", str(self.venv)]
        self.call(command + (["--system-site-packages"] if self.system_ros else []))

    def install_requirements(self) -> None:
        """Install requirements.txt; a torch that is there already and new enough is kept."""
        lines = (self.root / "requirements.txt").read_text().splitlines()
        torch = self.query()["torch"]
        numbers = tuple(int(part) for part in re.findall(r"\d+", torch)[:2])
        kept = numbers >= OLDEST_TORCH
        if not kept:
            # Alone and first: otherwise pip may choose one with gigabytes of CUDA for others.
            self.pip([next(re.split(r"\s*#", x)[0] for x in lines if x.startswith("torch=="))])
        partial = self.venv / ".setup" / "requirements.txt"
        partial.parent.mkdir(exist_ok=True)
        partial.write_text("\n".join(x for x in lines if not x.startswith("torch==")) + "\n")
        constraint = partial.with_name("constraints.txt")
        constraint.write_text(f"torch=={self.query()['torch']}\n")
        self.pip(["-r", str(partial), "-c", str(constraint)])

    def install_ros(self) -> None:
        """Install the ROS 2 wheels, then launch and the command line."""
        self.pip(["-r", str(self.root / "requirements-ros.txt")])
        install_tools(self.venv, Path(self.query()["purelib"]))

    def fit_ros_paths(self) -> None:
        """Make the wheels' CMake files name this machine's headers."""
        query = self.query()
        relocate(self.venv / "share", query["include"], query["numpy"])

    def build(self) -> None:
        """Run colcon in the environment that ``env.sh`` gives."""
        colcon = self.venv / "bin" / "colcon"
        if not colcon.exists():
            colcon = Path(shutil.which("colcon") or "colcon")
        self.call([str(colcon), "build", "--event-handlers", "console_cohesion+"])

    def query(self) -> dict[str, str]:
        """Ask the virtual environment where its folders are and which torch it has."""
        run = subprocess.run(
            [str(self.python), "-c", VENV_QUERY], text=True, capture_output=True, check=True
        )
        return dict(zip(("purelib", "include", "torch", "numpy"), run.stdout.split("\n")))

    def pip(self, arguments: Sequence[str]) -> None:
        """Run the environment's pip; what is imported is compiled then, which is a small part."""
        pip = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check"]
        pip += ["--no-compile", "--progress-bar", "off"]
        self.call([*pip, *arguments])

    def call(self, command: Sequence[str]) -> None:
        """Run a command; its output is kept in .venv/setup.log and shown when it fails.

        Raises:
            SetupError: the command failed.
        """
        self.venv.parent.mkdir(parents=True, exist_ok=True)
        run = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, **environment(self.root, os.environ)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if self.venv.is_dir():
            with (self.venv / "setup.log").open("a") as log:
                log.write(f"$ {' '.join(command)}\n{run.stdout}\n")
        if run.returncode:
            tail = "\n".join(run.stdout.splitlines()[-40:])
            raise SetupError(f"`{' '.join(command)}` failed ({run.returncode}):\n{tail}")


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="redo every step")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    parser.add_argument(
        "--list-missing",
        action="store_true",
        help="print the missing Debian packages, nothing else",
    )
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    workspace = Workspace(root)
    if arguments.list_missing:
        print(*missing_packages(workspace.system_ros, workspace.python.exists()))
        return 0
    runner = StepRunner(root / ".venv" / ".setup")
    try:
        workspace.check()
        if arguments.check:
            return 0
        if arguments.force:
            for stamp in runner.folder.glob("*.stamp"):
                stamp.unlink()
        ran = runner.run(workspace.steps())
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up: interrupted; the next `make setup` goes on from here", file=sys.stderr)
        return 130
    print("set-up: done" if ran else "set-up: nothing to do", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
