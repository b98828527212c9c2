"""Teaching a student on two processes, as torchrun starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_policy.checkpoint import save_policy
from vla_policy.model.policy import VlaPolicy

UNIT = Path(__file__).parents[1] / "unit" / "vla_distill"

SCRIPT = f"""
import sys
sys.path.insert(0, {str(UNIT)!r})
from pathlib import Path
from test_actdistill import StudentTrainer, config, distill, frames

folder, last = Path(sys.argv[1]), int(sys.argv[2])
save = StudentTrainer._save

def and_be_killed(self):
    save(self)
    if self.step == last < 4:
        sys.exit()

StudentTrainer._save = and_be_killed
trainer = distill(config(folder, folder.parent / "teacher", save_every=2, settled=0.5), frames())
weights = sum(float(p.detach().abs().sum()) for p in trainer.objective.parameters())
# A file each: what several processes print together may come out mixed.
accelerator = trainer.accelerator
name = f"{{accelerator.process_index}}_of_{{accelerator.num_processes}}"
(folder.parent / name).write_text(str(weights))
"""


def teach(folder: Path, processes: int, last: int = 4) -> list[str]:
    """Train up to step ``last`` of 4; the sum of the weights of each process."""
    script = folder.parent / "teach.py"
    script.write_text(SCRIPT)
    said = [folder.parent / f"{index}_of_{processes}" for index in range(processes)]
    for file in said:
        file.unlink(missing_ok=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*launch, f"--nproc_per_node={processes}", str(script), str(folder), str(last)],
        check=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )
    return [file.read_text() for file in said if file.exists()]


def rows(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "samples_per_second"} for row in lines]


@pytest.mark.slow
def test_two_gloo_processes_teach_one_student_and_resume_it(tmp_path: Path) -> None:
    save_policy(VlaPolicy.random("test"), tmp_path / "teacher")
    whole = teach(tmp_path / "whole", 2)
    assert len(whole) == 2 and whole[0] == whole[1]  # both processes hold the same student
    assert teach(tmp_path / "parts", 2, last=2) == []
    assert teach(tmp_path / "parts", 2) == whole
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    one, two = (
        (tmp_path / name / "policy" / "model.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert one == two
    alone = teach(tmp_path / "alone", 1)
    # The noise differs with the process, the data do not: the losses are close, not equal.
    velocity = [rows(tmp_path / name)[-1]["velocity"] for name in ("whole", "alone")]
    assert velocity[0] == pytest.approx(velocity[1], rel=0.3) and alone[0] != whole[0]
