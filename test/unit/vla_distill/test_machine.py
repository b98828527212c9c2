"""What a number's commit says of the tree that it came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vla_distill.evaluation.machine import commit


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "speed.json").write_text("1")
    (tmp_path / "code.py").write_text("1")
    git("init")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "one")
    return tmp_path


def test_changed_code_is_marked_and_changed_numbers_are_not(tree: Path) -> None:
    name = commit(tree / "benchmarks")
    assert name and not name.endswith("+")
    (tree / "benchmarks" / "results" / "speed.json").write_text("2")
    assert commit(tree / "benchmarks") == name
    (tree / "code.py").write_text("2")
    assert commit(tree / "benchmarks") == name + "+"


def test_outside_of_a_tree_there_is_none(tmp_path: Path) -> None:
    assert commit(tmp_path) == ""
