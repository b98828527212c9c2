"""Start a launch file of this package, as `ros2 launch lean_vla FILE` does where that verb exists.

    vla launch FILE [name:=value ...]    run it until Ctrl-C
    vla launch FILE --show-args          list its arguments
    vla launch                           list the launch files

FILE is a path, or the name of an installed launch file; ``sim`` stands for ``sim.launch.py``.
"""

from __future__ import annotations

import difflib
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_distill.errors import DistillError

if TYPE_CHECKING:
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument

SUFFIX = ".launch.py"


def launch_folder() -> Path:
    """Where the launch files are: installed, or in the source tree when nothing is."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        return Path(get_package_share_directory("lean_vla")) / "launch"
    except PackageNotFoundError:
        return Path(__file__).resolve().parents[2] / "launch"


def find_launch_file(name: str, folder: Path) -> Path:
    """Turn what the user typed into a file.

    Args:
        name: a launch file's name with or without its suffix, or a path.
        folder: where the named ones are.

    Raises:
        DistillError: there is no such file; lists those that exist.
    """
    for path in (folder / name, folder / f"{name}{SUFFIX}", Path(name)):
        if path.is_file():
            return path.resolve()
    known = sorted(path.name for path in folder.glob(f"*{SUFFIX}"))
    raise DistillError(
        "launch file", got=repr(name), expected=f"a path or one of {', '.join(known) or 'none'}"
    )


def parse_values(words: Sequence[str]) -> dict[str, str]:
    """Split ``name:=value`` words.

    Raises:
        DistillError: a word has no ``:=`` or no name.
    """
    values = {}
    for word in words:
        name, sign, value = word.partition(":=")
        if not sign or not name:
            raise DistillError("launch argument", got=repr(word), expected="name:=value")
        values[name] = value
    return values


def check_values(
    values: Mapping[str, str], declared: Mapping[str, DeclareLaunchArgument], file: Path
) -> None:
    """Refuse what the launch file does not know; launch itself would ignore a misspelt name.

    Raises:
        DistillError: an unknown name, a value that is no choice, or an argument that is needed and
            not given.
    """
    for name, value in values.items():
        if name not in declared:
            close = difflib.get_close_matches(name, declared, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DistillError(
                f"argument of {file.name}",
                got=repr(name),
                expected=f"one of {', '.join(sorted(declared)) or 'none'}{hint}",
            )
        choices = declared[name].choices
        if choices and value not in choices:
            raise DistillError(
                f"argument {name!r}", got=repr(value), expected=f"one of {', '.join(choices)}"
            )
    for name, argument in declared.items():
        if argument.default_value is None and name not in values:
            raise DistillError(f"argument {name!r}", got="nothing", expected="a value")


def describe(declared: Mapping[str, DeclareLaunchArgument], file: Path) -> str:
    """The text of ``--show-args``."""
    from launch import LaunchContext
    from launch.utilities import perform_substitutions

    lines = [f"Arguments of {file.name} (name:=value):", ""]
    for name, argument in declared.items():
        default = "required"
        if argument.default_value is not None:
            text = perform_substitutions(LaunchContext(), argument.default_value)
            default = f"default: {text!r}"
        choices = f"; one of {', '.join(argument.choices)}" if argument.choices else ""
        lines += [f"  {name}  ({default}{choices})", f"      {argument.description}"]
    return "\n".join(lines if declared else [*lines, "  none"])


def load(file: Path) -> LaunchDescription:
    """Read the launch file."""
    from launch.launch_description_sources import get_launch_description_from_any_launch_file

    return get_launch_description_from_any_launch_file(str(file))


def run(file: Path, values: Mapping[str, str]) -> int:
    """Run a launch file until it ends or is interrupted; all its processes have ended then.

    Returns:
        0, also after Ctrl-C or SIGTERM; 1 when an action of the launch file failed.
    """
    from launch import LaunchDescription, LaunchService, launch_service
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import AnyLaunchDescriptionSource
    from launch.utilities import AsyncSafeSignalManager

    class SignalManager(AsyncSafeSignalManager):
        """Ends the processes on SIGTERM, where launch would give up and leave them behind."""

        def __enter__(self) -> Any:
            manager = super().__enter__()
            # Launch takes signals from a file. Python's own KeyboardInterrupt beside that fell into
            # the middle of its shutdown, of which the rest was lost: it hung.
            signal.signal(signal.SIGINT, lambda *_: None)
            return manager

        def handle(self, signum: int, handler: Callable[[int], None] | None) -> Any:
            ends = signum == signal.SIGTERM and handler is not None
            return super().handle(signum, (lambda _: end()) if ends else handler)

    def end() -> None:
        service.shutdown(force_sync=True)

    launch_service.AsyncSafeSignalManager = SignalManager
    # Only signals with a handler reach launch. A shell starts background jobs with SIGINT ignored,
    # and a closing terminal sends SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: None)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))

    service = LaunchService(argv=[f"{name}:={value}" for name, value in values.items()])
    include = IncludeLaunchDescription(
        AnyLaunchDescriptionSource(str(file)), launch_arguments=list(values.items())
    )
    service.include_launch_description(LaunchDescription([include]))
    try:
        return service.run()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nobody takes it any more


def raw_main(argv: Sequence[str]) -> int:
    """Run ``vla launch``.

    Args:
        argv: everything after ``launch``.

    Returns:
        The exit code.

    Raises:
        DistillError: ROS 2 is not there, or the file or an argument is wrong.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    try:
        import launch  # noqa: F401
        import launch_ros  # noqa: F401
    except ImportError as error:
        raise DistillError(
            "ROS 2's launch", got=f"no {error.name}", expected="`make setup`, then `source env.sh`"
        ) from error
    folder = launch_folder()
    show = [word for word in argv if word in ("-s", "--show-args", "--show-arguments")]
    words = [word for word in argv if word not in show]
    if not words:
        print(__doc__)
        print("Launch files:")
        print("\n".join(f"  {path.name}" for path in sorted(folder.glob(f"*{SUFFIX}"))) or "  none")
        return 0
    # `ros2 launch` takes the package's name first; so may we.
    if words[0] == "lean_vla" and len(words) > 1 and ":=" not in words[1]:
        words = words[1:]
    file = find_launch_file(words[0], folder)
    declared = {argument.name: argument for argument in load(file).get_launch_arguments()}
    if show:
        print(describe(declared, file))
        return 0
    values = parse_values(words[1:])
    check_values(values, declared, file)
    return run(file, values)


if __name__ == "__main__":
    sys.exit(raw_main(sys.argv[1:]))
