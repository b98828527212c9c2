"""Make .venv-metaworld: .venv's packages, with Meta-World and its MuJoCo in front of them.

``make metaworld`` calls this after ``make setup``. It may be called again.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-metaworld"
VLA = """import sys

from vla_distill.cli.main import main

if __name__ == "__main__":  # not in worker processes
    sys.exit(main())
"""


def main(folder: Path = FOLDER) -> int:
    """Entry point, run by .venv's Python; returns the exit code."""
    if sys.prefix == sys.base_prefix:
        print("metaworld: run this with .venv/bin/python, after `make setup`", file=sys.stderr)
        return 1
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", variables))
    (packages / "lean_vla.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    command += ["--progress-bar", "off", "--no-deps", "-r", ROOT / "requirements-metaworld.txt"]
    ended = subprocess.run(command, check=False).returncode
    if ended:
        return ended
    vla = python.with_name("vla")
    vla.write_text(f"#!{python}\n{VLA}")
    vla.chmod(0o755)
    print(f"metaworld: {vla} collect --env metaworld ... (after `source env.sh`)", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
