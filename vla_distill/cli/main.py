"""The ``vla`` command.

A verb is a module of this package: ``vla collect`` is ``vla_distill/cli/collect.py``; a dash in the
verb is an underscore in the file's name. Adding the file adds the verb; nothing is listed here. The
module gives

- a docstring, whose first line is the verb's line in ``vla --help`` (read without importing it);
- either ``Arguments`` (a frozen dataclass whose attribute docs become the help, or a union of such
  dataclasses for sub-verbs as in ``vla bench flops``), parsed by tyro, and
  ``main(arguments) -> int``;
- or ``raw_main(argv: list[str]) -> int``, which gets everything after the verb unparsed
  (``vla launch FILE name:=value``).

The integer is the exit code. A module imports torch, MuJoCo or ROS inside ``main``, not at its top,
so ``vla VERB --help`` stays quick. Errors that our own rooms raise are printed as one red line with
exit code 2; ``vla --debug VERB ...`` shows the traceback instead.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOMS = ("vla_policy", "vla_arm", "vla_sim", "vla_distill", "vla_policy_node")
EXIT_OK, EXIT_ERROR, EXIT_INTERRUPTED = 0, 2, 130
_FOLDER = Path(__file__).parent


def verbs() -> dict[str, str]:
    """All verbs and their one-line descriptions, by reading the modules' docstrings."""
    found = {}
    for path in sorted(_FOLDER.glob("[a-z]*.py")):
        if path.stem == "main":
            continue
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.replace("_", "-")] = doc.split("\n", 1)[0].rstrip(".")
    return found


def usage() -> str:
    """The text of ``vla --help``."""
    lines = ["usage: vla [--debug] VERB [ARGUMENTS]", ""]
    lines += ["A Vision-Language-Action policy on an arm, at a fraction of its cost.", "", "verbs:"]
    lines += [f"  {name:<16}{doc}" for name, doc in verbs().items()]
    lines += ["", "`vla VERB --help` tells a verb's arguments; --debug shows tracebacks."]
    return "\n".join(lines)


def is_ours(error: BaseException) -> bool:
    """Whether the error was raised on purpose by one of our rooms, so that its text suffices."""
    return any(kind.__module__.split(".")[0] in ROOMS for kind in type(error).__mro__)


def complain(message: str) -> int:
    """Print one red line to stderr (plain when it is not a terminal); returns the exit code."""
    text = f"error: {message}"
    print(f"\033[31m{text}\033[0m" if sys.stderr.isatty() else text, file=sys.stderr)
    return EXIT_ERROR


def run_verb(verb: str, argv: list[str]) -> int:
    """Import the verb's module, parse ``argv`` and run it."""
    module = importlib.import_module(f"vla_distill.cli.{verb.replace('-', '_')}")
    if hasattr(module, "raw_main"):
        return module.raw_main(argv)
    import tyro

    arguments = tyro.cli(module.Arguments, prog=f"vla {verb}", args=argv)
    if isinstance(numbers := getattr(arguments, "json", None), Path):
        _see_writable(numbers)
    return module.main(arguments)


def _see_writable(path: Path) -> None:
    """Before hours of work, not after them.

    Raises:
        OSError: the file cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    path.open("a").close()
    if is_new:
        path.unlink()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the ``vla`` console script.

    Args:
        argv: everything after ``vla``; None takes the process's own.

    Returns:
        The exit code: the verb's, 2 for bad input, 130 after Ctrl-C.
    """
    os.environ.setdefault("MUJOCO_GL", "egl")  # scenes are drawn without a screen
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words[:1]
    words = words[debug:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return EXIT_OK
    verb, known = words[0], verbs()
    if verb not in known:
        close = difflib.get_close_matches(verb, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return complain(f"verb {verb!r}: expected one of {', '.join(known)}{hint}")
    try:
        return int(run_verb(verb, words[1:]) or 0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:  # a full disk, a file that is not there
        if debug:
            raise
        place = f"{error.filename}: " if error.filename else ""
        return complain(f"{place}{error.strerror or error}")
    except Exception as error:
        if debug or not is_ours(error):
            raise
        return complain(" ".join(str(error).split()))


if __name__ == "__main__":
    sys.exit(main())
