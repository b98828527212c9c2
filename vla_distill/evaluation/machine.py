"""Where a number came from: machine, versions, commit and command."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SOURCE = Path(__file__).resolve().parent
_PACKAGES = ("torch", "mujoco", "gymnasium", "metaworld", "numpy", "lean-vla")


def machine() -> dict[str, object]:
    """Processor, cores, memory [GiB], GPU if torch sees one, and versions of what decides speed and
    outcome."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        **({"gpu": gpu} if (gpu := _gpu()) else {}),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit(folder: Path = _SOURCE) -> str:
    """Commit of a source tree, with ``+`` if it was changed; empty if it is none.

    Args:
        folder: in the tree; this file's by default. Changes of the numbers themselves, which a
            benchmark makes while it runs, do not count.
    """
    git = functools.partial(subprocess.run, capture_output=True, text=True, timeout=10)
    numbers = (f":(top,exclude){name}/results" for name in ("benchmarks", "docs"))
    try:
        words = ["git", "-C", str(folder), "describe", "--always", "--abbrev=12"]
        text = git(words, check=True).stdout.strip()
        words = ["git", "-C", str(folder), "diff", "--quiet", "HEAD", "--", ":(top)", *numbers]
        return text + "+" * bool(git(words).returncode)
    except (OSError, subprocess.SubprocessError):
        return ""


def command() -> str:
    """The command line of this process, as a user would type it."""
    program = Path(sys.argv[0]).name
    if program == "main.py":
        program = "vla"
    return shlex.join([program, *sys.argv[1:]])


def _gpu() -> str:
    """Name of the first GPU; empty without one, and where the caller does without torch."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()
