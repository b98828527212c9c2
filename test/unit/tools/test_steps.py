"""The set-up does each step once, and goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.steps import SetupError, Step, StepRunner, digest


class Bench:
    """Three steps that write down when they run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.fails = folder, [], ""
        self.config = folder / "config.txt"
        self.config.write_text("one")
        self.runner = StepRunner(folder / "stamps", say=lambda line: None)

    def step(self, name: str, *inputs: str | Path) -> Step:
        def action() -> None:
            self.log.append(name)
            if name == self.fails:
                raise KeyboardInterrupt
            (self.folder / name).touch()

        return Step(name, name, action, inputs, (self.folder / name).exists)

    def run(self) -> list[str]:
        steps = [self.step("a", "x"), self.step("b", self.config), self.step("c")]
        return self.runner.run(steps)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_runs_in_order_and_only_once(bench: Bench) -> None:
    assert bench.run() == ["a", "b", "c"]
    assert bench.run() == []
    assert bench.log == ["a", "b", "c"]


def test_a_changed_input_redoes_its_step_and_what_builds_on_it(bench: Bench) -> None:
    bench.run()
    bench.config.write_text("two")
    assert bench.run() == ["b", "c"]


def test_a_deleted_result_is_made_again(bench: Bench) -> None:
    bench.run()
    (bench.folder / "c").unlink()
    assert bench.run() == ["c"]


def test_an_interrupted_step_is_resumed(bench: Bench) -> None:
    bench.fails = "b"
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.fails = ""
    assert bench.run() == ["b", "c"]
    assert bench.log == ["a", "b", "b", "c"]


def test_an_interrupted_redo_does_not_count_as_done(bench: Bench) -> None:
    bench.run()
    bench.config.write_text("two")
    bench.fails = "b"
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.config.write_text("one")
    bench.fails = ""
    assert bench.run() == ["b"]


def test_says_what_it_does(tmp_path: Path) -> None:
    lines: list[str] = []
    runner = StepRunner(tmp_path, say=lines.append)
    runner.run([Step("a", "first things", lambda: None)])
    assert lines[0] == "[1/1] first things ..."
    assert lines[1].startswith("[1/1] first things: ")


def test_a_folder_counts_by_its_file_names(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1")
    before = digest([tmp_path])
    (tmp_path / "one.txt").write_text("changed")
    assert digest([tmp_path]) == before
    (tmp_path / "two.txt").touch()
    assert digest([tmp_path]) != before


def test_errors_pass_through(tmp_path: Path) -> None:
    def fail() -> None:
        raise SetupError("no network")

    with pytest.raises(SetupError, match="no network"):
        StepRunner(tmp_path, say=lambda line: None).run([Step("a", "a", fail)])
