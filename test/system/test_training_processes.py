"""Training on two processes, as torchrun starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_distill.training.config import OPTIMIZERS

UNIT = Path(__file__).parents[1] / "unit" / "vla_distill"


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_gloo_processes_train_as_one(tmp_path: Path, optimizer: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(UNIT)!r})\n"
        "from pathlib import Path\n"
        "from test_training import Trainer, config, frames\n"
        f"trainer = Trainer(config(Path(sys.argv[1]), optimizer={optimizer!r}), frames())\n"
        "trainer.run()\n"
        "weights = sum(float(p.abs().sum()) for p in trainer.objective.parameters())\n"
        # A file each: what several processes print together may come out mixed.
        "rank = trainer.accelerator.process_index\n"
        "Path(sys.argv[1]).with_suffix(f'.{rank}').write_text(str(weights))\n"
    )
    weights: list[str] = []
    for processes in (1, 2):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        launch += [f"--nproc_per_node={processes}"]
        subprocess.run(
            [*launch, str(script), str(tmp_path / str(processes))],
            check=True,
            timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        )
        weights = [file.read_text() for file in sorted(tmp_path.glob(f"{processes}.*"))]
        assert len(weights) == processes
    assert weights[0] == weights[1]  # both processes hold the same network
    one, two = rows(tmp_path / "1"), rows(tmp_path / "2")
    assert [row["step"] for row in two] == [1, 2, 3, 4, 5, 6]
    # The noise differs with the process, the data do not: the losses are close, not equal.
    assert two[-1]["held_out_velocity"] == pytest.approx(one[-1]["held_out_velocity"], rel=0.05)
    assert two[-1]["held_out_velocity"] != one[-1]["held_out_velocity"]
