"""Training on two processes, as `accelerate launch` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "unit" / "vla_distill"


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_gloo_processes_train_as_one(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(UNIT)!r})\n"
        "from pathlib import Path\n"
        "from test_training import Trainer, config, frames\n"
        "Trainer(config(Path(sys.argv[1])), frames()).run()\n"
    )
    for name, processes in (("one", 1), ("two", 2)):
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines=1"]
        launch += [f"--num_processes={processes}", "--mixed_precision=no", "--dynamo_backend=no"]
        launch += ["--main_process_port=0"]
        subprocess.run(
            [*launch, str(script), str(tmp_path / name)],
            check=True,
            timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["step"] for row in two] == [1, 2, 3, 4, 5, 6]
    # The noise differs with the process, the data do not: the losses are close, not equal.
    assert two[-1]["held_out_velocity"] == pytest.approx(one[-1]["held_out_velocity"], rel=0.05)
