"""Whether other number formats, torch.compile or a second thread make a chunk faster on this CPU.

python benchmarks/cpu_precision.py --json benchmarks/results/cpu_precision.json

Each row is the same policy, treated otherwise: bfloat16 by autocast; linear layers' weights in int8
(dynamic quantisation) in vision tower and head, as a decoder layer reads its own; vision tower,
decoder layers and head compiled. Rows are run one after the other, several rounds of them. Beside
its time stands how far its targets lie from the plain row's, with the same noise.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import percentiles
from vla_policy.checkpoint import load_policy
from vla_policy.contract import ActionChunk, Observation
from vla_policy.model.compiled import compile_pieces
from vla_policy.model.policy import VlaPolicy

WARM_UP = 5
ROUND = 15
"""Chunks of a row before the next row's turn: threads and caches are its own by then."""


def observations(policy: VlaPolicy, number: int) -> list[Observation]:
    """Noise as pictures: what is in them costs nothing."""
    random = np.random.default_rng(0)
    size = policy.image_size
    state = np.array([0.3, 0.0, 0.25, 0.0, np.pi / 2, 0.0, 0.08, 0.08], np.float32)
    return [
        Observation(
            {name: random.integers(0, 256, (size, size, 3), np.uint8) for name in policy.cameras},
            state,
            "pick up the red cube",
            0.0,
        )
        for _ in range(number)
    ]


def quantised(policy: VlaPolicy) -> VlaPolicy:
    """With weights of the linear layers in int8, but for the decoder layers'."""
    network = copy.deepcopy(policy.network)
    for name in ("vision", "projector", "head"):
        part = torch.ao.quantization.quantize_dynamic(
            getattr(network, name), {torch.nn.Linear}, dtype=torch.qint8
        )
        setattr(network, name, part)
    return policy.altered(network, policy.plan)


def compiled(policy: VlaPolicy) -> VlaPolicy:
    """As policy_node's ``torch_compile`` does it."""
    network = copy.deepcopy(policy.network)
    compile_pieces(network)
    return policy.altered(network, policy.plan)


class Row:
    """A policy, and how it is to be run.

    Args:
        policy: the policy.
        threads: for torch.
        context: entered around each chunk.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        threads: int = 1,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._policy, self._threads, self._context = policy, threads, context
        self.milliseconds: list[float] = []
        self.targets: list[np.ndarray] = []

    def infer(self, observation: Observation) -> None:
        """Compute a chunk, with noise that depends on its number alone."""
        torch.set_num_threads(self._threads)
        memory = self._policy.start(len(self.targets))
        with self._context():
            chunk: ActionChunk = self._policy.infer([observation], [memory])[0]
        self.milliseconds.append(chunk.report.milliseconds["total"])
        self.targets.append(chunk.targets)


def measure(policy: VlaPolicy, chunks: int) -> list[dict[str, Any]]:
    """The rows, the plain one first."""
    rows = {
        "float32": Row(policy),
        "float32, 2 threads": Row(policy, threads=2),
        "bfloat16": Row(policy, context=lambda: torch.autocast("cpu", torch.bfloat16)),
        "int8 weights": Row(quantised(policy)),
        "compiled": Row(compiled(policy)),
    }
    seen = observations(policy, WARM_UP + chunks)
    for begin in range(0, len(seen), ROUND):
        for each in rows.values():
            for observation in seen[begin : begin + ROUND]:
                each.infer(observation)
    plain = rows["float32"]
    return [
        {
            "name": name,
            "milliseconds": percentiles(each.milliseconds[WARM_UP:]),
            "speedup": float(
                np.median(plain.milliseconds[WARM_UP:]) / np.median(each.milliseconds[WARM_UP:])
            ),
            "deviation_mm": 1e3 * deviation(each.targets, plain.targets),
        }
        for name, each in rows.items()
    ]


def deviation(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Greatest distance between targets' positions [m]."""
    gaps = (np.stack(some) - np.stack(others))[..., :3]
    return float(np.linalg.norm(gaps, axis=-1).max())


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default="checkpoints/teacher", help="checkpoint folder")
    parser.add_argument("--chunks", type=int, default=60, help="timed of each row")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    rows = measure(load_policy(arguments.policy), arguments.chunks)
    for row in rows:
        print(
            f"{row['name']:20s} {row['milliseconds']['median']:6.2f} ms"
            f" (p95 {row['milliseconds']['p95']:.2f}), {row['speedup']:.2f} times as fast,"
            f" targets within {row['deviation_mm']:.2f} mm"
        )
    record = {"policy": arguments.policy, "chunks": arguments.chunks, "rows": rows}
    record |= {"commit": commit(), "machine": machine(), "command": command()}
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
