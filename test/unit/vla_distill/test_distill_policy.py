"""``vla distill-policy``: which configuration its arguments make."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from vla_distill.actdistill import distillation
from vla_distill.actdistill.config import StudentConfig
from vla_distill.cli import main as cli
from vla_distill.dataset import source

ROOT = Path(__file__).parents[3]


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[tuple[StudentConfig, object]]:
    """Configurations, and seeds, that would have been trained with."""
    calls: list[tuple[StudentConfig, object]] = []

    def distill(config, frames, seeds):
        calls.append((config, seeds))
        main = SimpleNamespace(is_main_process=True)
        return SimpleNamespace(accelerator=main, folder=Path(config.out))

    def open_frames(folders):
        return folders, [7 if name == "real" else 1_000_000 for name in folders]

    monkeypatch.setattr(distillation, "distill", distill)
    monkeypatch.setattr(source, "open_frames", open_frames)
    return calls


def test_the_four_words_of_the_readme_suffice(taught, capsys) -> None:
    words = ["--teacher", "t", "--data", "a", "b", "--budget", "0.25", "--out", "o"]
    assert cli.main(["distill-policy", *words]) == 0
    config, seeds = taught[0]
    assert (config.teacher, config.init, config.data) == ("t", "t", ["a", "b"])
    assert (config.budget, config.gates, config.imitates) == (0.25, "router", "graph")
    assert list(seeds) == [1_000_000, 1_000_000]
    assert "o/policy" in capsys.readouterr().out


def test_arguments_win_over_the_file_that_ships(taught) -> None:
    path = str(ROOT / "config" / "train" / "student.yaml")
    assert cli.main(["distill-policy", "--config", path, "--gates", "top_k"]) == 0
    config, _ = taught[0]
    assert config == StudentConfig(
        data=["data/arx5_train", "data/arx5_pushes"],
        out="runs/train/student",
        gates="top_k",
    )  # what the file says is what holds without it


def test_the_trainer_is_told_where_each_episode_comes_from(taught) -> None:
    assert cli.main(["distill-policy", "--teacher", "t", "--data", "a", "real", "--out", "o"]) == 0
    assert list(taught[0][1]) == [1_000_000, 7]


def test_what_is_missing_or_wrong_is_named(taught, capsys) -> None:
    assert cli.main(["distill-policy", "--teacher", "t"]) == 2
    assert "--data, --out: got nothing" in capsys.readouterr().err
    wrong = ["distill-policy", "--teacher", "t", "--data", "a", "--out", "o", "--gates", "coin"]
    assert cli.main(wrong) == 2
    assert "gates: got coin, expected one of" in capsys.readouterr().err
    assert not taught
