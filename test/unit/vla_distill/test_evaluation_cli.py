"""``vla eval`` from a checkpoint folder to the JSON that others read."""

import json
from pathlib import Path

import pytest
import torch

from vla_distill.cli.eval import Arguments, main
from vla_distill.errors import DistillError
from vla_distill.evaluation.evaluation import EvaluationConfig
from vla_policy.checkpoint import save_policy
from vla_policy.model.policy import VlaPolicy
from vla_sim.tasks.reach import Reach


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained checkpoint, and a task that is over soon."""
    torch.set_num_threads(1)
    monkeypatch.setattr(Reach, "time_limit", 0.6)
    return save_policy(VlaPolicy.random("test"), tmp_path / "policy")


def test_a_checkpoint_becomes_the_json_that_others_read(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results" / "eval.json"
    arguments = Arguments(
        policy=str(policy), tasks="reach", episodes=2, seed=7, processes=1, latency="50", json=file
    )
    assert main(arguments) == 0
    record = json.loads(file.read_text())
    assert record["policy"] == str(policy)
    assert record["seed"] == 7
    assert record["latency"] == "50"
    assert {"commit", "command", "machine"} <= record.keys()
    assert 0.0 <= record["mean_success"] <= 1.0
    assert [task["name"] for task in record["tasks"]] == ["reach"]
    assert {"median", "p95", "p99"} <= record["ms_per_chunk"].keys()
    assert record["gflops_per_chunk"] > 0.0
    assert [one["seed"] for one in record["episodes"]] == [7, 8]
    # Nothing was there to play for the first 50 ms.
    assert all(one["starved"] == 3 for one in record["episodes"])
    assert "reach" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "processes"),
    [
        ({"policy": "somewhere"}, 8),
        ({"policy": "ws://gpu.local:8000"}, 1),
        ({"policy": "somewhere", "device": "cuda"}, 1),
        ({"policy": "ws://gpu.local:8000", "processes": 4}, 4),
    ],
)
def test_one_process_asks_a_device_or_server_that_all_would_share(
    monkeypatch: pytest.MonkeyPatch, given: dict, processes: int
) -> None:
    def stop(source: object, config: EvaluationConfig, progress: object) -> None:
        assert config.processes == processes
        raise KeyboardInterrupt

    monkeypatch.setattr("vla_distill.evaluation.machine.cores", lambda: 8)
    monkeypatch.setattr("vla_distill.evaluation.evaluation.evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        main(Arguments(**given))


def test_videos_need_a_folder(policy: Path) -> None:
    with pytest.raises(DistillError, match="--out"):
        main(Arguments(policy=str(policy), videos=1))
