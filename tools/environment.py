"""The environment of the workspace: what ``source env.sh`` sets, computed in one place."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("lean_vla", "vla_msgs")


def _prepend(new: list[Path], old: str) -> str:
    """Put the folders that exist in front of a search path, each once."""
    parts = [str(path) for path in new if path.is_dir()]
    return os.pathsep.join(dict.fromkeys(parts + [p for p in old.split(os.pathsep) if p]))


def environment(root: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Variables to set on top of ``base`` for a shell in which everything works.

    The source tree goes before the installed packages, so edits count at once. The prefixes are the
    built packages, then the virtual environment (which holds ROS 2 unless one is sourced), then
    whatever was there.

    Args:
        root: the repository.
        base: the environment to build on; a sourced ROS 2 in it stays in use.
    """
    venv, install = root / ".venv", root / "install"
    prefixes = [install / name for name in PACKAGES]
    prefixes = [prefix for prefix in prefixes if (prefix / "share").is_dir()]
    libraries = [prefix / "lib" for prefix in prefixes]
    modules = [path for lib in libraries for path in sorted(lib.glob("python3*/site-packages"))]
    has_ros_wheels = (venv / "share" / "ament_index").is_dir()
    ament = prefixes + ([venv] if has_ros_wheels else [])
    # The last one holds the package's metadata when colcon built with symbolic links.
    sources = [root, root / "sim", root / "build" / "lean_vla"]
    scripts = [venv / "bin", install / "lean_vla" / "lib" / "lean_vla"]
    result = {
        "VIRTUAL_ENV": str(venv),
        "PATH": _prepend(scripts, base.get("PATH", os.defpath)),
        "PYTHONPATH": _prepend(sources + modules, base.get("PYTHONPATH", "")),
        "AMENT_PREFIX_PATH": _prepend(ament, base.get("AMENT_PREFIX_PATH", "")),
        "CMAKE_PREFIX_PATH": _prepend(ament, base.get("CMAKE_PREFIX_PATH", "")),
        "LD_LIBRARY_PATH": _prepend(libraries, base.get("LD_LIBRARY_PATH", "")),
        "MUJOCO_GL": base.get("MUJOCO_GL", "egl"),
    }
    if has_ros_wheels:
        result |= {"ROS_VERSION": "2", "ROS_PYTHON_VERSION": "3", "ROS_DISTRO": "jazzy"}
        result["RMW_IMPLEMENTATION"] = base.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    return {name: value for name, value in result.items() if value}


def main() -> None:
    """Print the variables as lines that bash, zsh and sh can evaluate."""
    root = Path(sys.argv[1]).resolve()
    for name, value in environment(root, os.environ).items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
