"""The ``vla`` command: quick help, and our own errors without a traceback."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from vla_distill.cli import main as cli
from vla_distill.errors import DistillError


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from vla_distill.cli.main import main; main(['--help']);"
        "print({'torch', 'mujoco', 'tyro', 'rclpy', 'rich'} & set(sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines()[-1] == "set()"
    for verb, line in cli.verbs().items():
        assert verb in output
        assert line, f"{verb} has no docstring"


def test_an_unknown_verb_is_told_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evall"]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'eval'" in said
    assert "demo" in said


@dataclass(frozen=True)
class _Arguments:
    """Test verb."""

    number: int = 0
    """A number."""
    json: Path | None = None
    """A file of numbers."""


def _verb(monkeypatch: pytest.MonkeyPatch, module: SimpleNamespace) -> None:
    monkeypatch.setattr(cli, "verbs", lambda: {"test": ""})
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)


def test_a_verb_gets_its_arguments_and_gives_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _verb(monkeypatch, SimpleNamespace(Arguments=_Arguments, main=lambda given: given.number))
    assert cli.main(["test", "--number", "7"]) == 7


def test_a_raw_verb_gets_its_words_unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []
    _verb(monkeypatch, SimpleNamespace(raw_main=lambda argv: got.extend(argv) or 0))
    assert cli.main(["test", "sim.launch.py", "task:=pick"]) == 0
    assert got == ["sim.launch.py", "task:=pick"]


def _fail(error: BaseException) -> SimpleNamespace:
    def main(arguments: object) -> int:
        raise error

    return SimpleNamespace(Arguments=_Arguments, main=main)


def test_our_errors_are_one_line_and_a_traceback_with_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _verb(monkeypatch, _fail(DistillError("suite", got="x", expected="arx5")))
    assert cli.main(["test"]) == 2
    assert capsys.readouterr().err == "error: suite: got x, expected arx5\n"
    with pytest.raises(DistillError):
        cli.main(["--debug", "test"])


def test_errors_of_others_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _verb(monkeypatch, _fail(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["test"])


def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _verb(monkeypatch, _fail(FileNotFoundError(2, "No such file or directory", "data/x")))
    assert cli.main(["test"]) == 2
    assert capsys.readouterr().err == "error: data/x: No such file or directory\n"


def test_numbers_that_cannot_be_written_are_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("old")
    _verb(monkeypatch, SimpleNamespace(Arguments=_Arguments, main=lambda given: 7))
    for place in (tmp_path, tmp_path / "file" / "numbers.json"):
        assert cli.main(["test", "--json", str(place)]) == 2
        assert str(place).startswith(capsys.readouterr().err.split(": ")[1])
    for place in (tmp_path / "new" / "numbers.json", tmp_path / "file"):
        assert cli.main(["test", "--json", str(place)]) == 7
    assert not list((tmp_path / "new").iterdir()) and (tmp_path / "file").read_text() == "old"


def test_interruption_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _verb(monkeypatch, _fail(KeyboardInterrupt()))
    assert cli.main(["test"]) == 130
