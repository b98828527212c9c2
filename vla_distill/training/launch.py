"""A training in processes of its own, as ``torchrun`` would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from vla_distill.errors import DistillError
from vla_distill.workers import STARTED_BY


def launch(verb: str, config: Mapping[str, Any], processes: int) -> None:
    """Train to the end, or go on: on the CPU in processes of one thread each, which are no slower
    than one process with as many threads; on the GPU in one. They end when this process does.

    Args:
        verb: ``train`` or ``distill-policy``.
        config: fields of its configuration; kept as YAML in its folder ``out``.
        processes: how many.

    Raises:
        DistillError: the training failed; its own message is above.
    """
    folder = Path(config["out"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{verb}.yaml"
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    start, environment = [sys.executable], {**os.environ, STARTED_BY: str(os.getpid())}
    if not torch.cuda.is_available():
        environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*start, "-m", "vla_distill.cli.main", verb, "--config", str(path)]
    if (code := subprocess.run(command, env=environment, check=False).returncode) != 0:
        raise DistillError(f"training of {folder}", got=f"exit code {code}", expected="0")
