"""`vla launch` finds files and refuses arguments that launch would silently ignore."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vla_distill.cli.launch import check_values, find_launch_file, parse_values
from vla_distill.errors import DistillError

FILE = Path("sim.launch.py")


def declared(**defaults: str | None) -> Any:
    return {
        name: SimpleNamespace(default_value=value, choices=["paced", "lockstep"] * (name == "mode"))
        for name, value in defaults.items()
    }


@pytest.mark.parametrize("name", ["sim", "sim.launch.py"])
def test_finds_a_file_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "sim.launch.py").touch()
    assert find_launch_file(name, tmp_path) == (tmp_path / "sim.launch.py").resolve()


def test_finds_a_file_by_its_path(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.touch()
    assert find_launch_file(str(mine), tmp_path / "none") == mine.resolve()


def test_a_missing_file_lists_the_others(tmp_path: Path) -> None:
    (tmp_path / "sim.launch.py").touch()
    with pytest.raises(DistillError, match=r"'smi'.*sim\.launch\.py"):
        find_launch_file("smi", tmp_path)


def test_values_may_hold_anything() -> None:
    words = ["instruction:=put the red cube in the bowl", "odd:=a:=b", "empty:="]
    assert parse_values(words) == {
        "instruction": "put the red cube in the bowl",
        "odd": "a:=b",
        "empty": "",
    }


@pytest.mark.parametrize("word", ["viewer", "viewer=true", ":=true"])
def test_a_word_without_name_and_value_is_refused(word: str) -> None:
    with pytest.raises(DistillError, match="name:=value"):
        parse_values([word])


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(DistillError, match="one of mode, viewer; did you mean 'viewer'"):
        check_values({"veiwer": "true"}, declared(viewer="false", mode="paced"), FILE)


def test_a_value_must_be_a_choice() -> None:
    with pytest.raises(DistillError, match="one of paced, lockstep"):
        check_values({"mode": "fast"}, declared(mode="paced"), FILE)


def test_an_argument_without_default_must_be_given() -> None:
    with pytest.raises(DistillError, match="'policy': got nothing"):
        check_values({}, declared(policy=None), FILE)
    check_values({"policy": "teacher"}, declared(policy=None), FILE)
