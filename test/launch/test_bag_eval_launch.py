"""A bag judged through the node that runs on the robot, as a user starts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vla_distill.bags.content import read_bag
from vla_distill.bags.evaluation import judge
from vla_distill.bags.step import StepConfig

ROOT = Path(__file__).parents[2]
DOUBLES = ROOT / "test" / "doubles"
SAMPLE = ROOT / "samples" / "reach.mcap"
sys.path.insert(0, str(DOUBLES))
import digest_policy  # noqa: E402

POLICY = "python:digest_policy.make"
RUN_TIMEOUT = 150.0


def vla(folder: Path, *words: str) -> tuple[int, str]:
    """Run ``vla WORDS`` to its end; return code and what it said."""
    path = os.pathsep.join([str(DOUBLES), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "vla_distill.cli.main", *words],
        env={**os.environ, "PYTHONPATH": path}, cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=RUN_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        pytest.fail(f"vla {words} has not ended in {RUN_TIMEOUT} s\n{said}")
    return process.returncode, said


def test_the_scores_are_those_without_ros_and_there_is_a_report(tmp_path):
    code, said = vla(
        tmp_path, "launch", "bag_eval", f"bag:={SAMPLE}", f"policy:={POLICY}", "out:=live"
    )
    assert code == 0, said
    live = json.loads((tmp_path / "live" / "scores.json").read_text())["scores"]
    offline = judge(read_bag(SAMPLE), digest_policy.make(), StepConfig(seed=0)).scores
    assert live["chunks"] == offline["chunks"] > 5
    for score in ("position_error_mm", "rotation_error_deg", "seam_jump_mm"):
        assert live[score] == pytest.approx(offline[score], rel=1e-5), score
    assert "<html" in (tmp_path / "live" / "report.html").read_text()[:200]


def test_a_bag_that_is_not_there_ends_the_launch_and_is_named(tmp_path):
    code, said = vla(tmp_path, "launch", "bag_eval", "bag:=gone.mcap", f"policy:={POLICY}")
    assert code != 0
    assert "gone.mcap" in said and "prepare-1 has failed" in said
