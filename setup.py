"""The ament_python package lean_vla."""

import sys
from pathlib import Path

from setuptools import find_packages, setup

NAME = "lean_vla"
ROOMS = ["vla_policy", "vla_arm", "vla_policy_node", "vla_distill"]

if "develop" in sys.argv:
    # What setup.cfg says of scripts, also for `colcon build --symlink-install`, which ignores it.
    from setuptools.command.easy_install import CommandSpec

    CommandSpec.from_environment = classmethod(lambda cls: cls(["/usr/bin/env", "python3"]))


def share(folder: str, pattern: str = "*") -> list[tuple[str, list[str]]]:
    """Install a folder's files under share/lean_vla, in the same sub-folders."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob(pattern)):
        if path.is_file() and "__pycache__" not in path.parts:
            found.setdefault(f"share/{NAME}/{path.parent}", []).append(str(path))
    return list(found.items())


setup(
    name=NAME,
    version="0.1.0",
    description="A Vision-Language-Action policy on an arm, at a fraction of its cost",
    maintainer="lean_vla maintainers",
    maintainer_email="lean_vla@users.noreply.github.com",
    license="Apache-2.0",
    packages=[
        *find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")]),
        *find_packages("sim", include=["vla_sim", "vla_sim.*"]),
    ],
    package_dir={"vla_sim": "sim/vla_sim"},
    package_data={"": ["*.css", "*.jinja", "*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *share("launch", "*.launch.py"),
        *share("config"),
        *share("checkpoints"),
    ],
    python_requires=">=3.10",
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "vla = vla_distill.cli.main:main",
            "policy_node = vla_policy_node.policy_node:main",
            "arm_node = vla_policy_node.arm_node:main",
            "sim_node = vla_policy_node.sim_node:main",
            "recorder_node = vla_policy_node.recorder_node:main",
            "teleop = vla_policy_node.teleop_node:main",
        ]
    },
)
