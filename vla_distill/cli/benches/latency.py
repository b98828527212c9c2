"""``vla bench latency``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_distill.cli.benches import origin, words, write


@dataclass(frozen=True)
class Latency:
    """Time a chunk by stage, plain and with recipes, one after the other in turns.

    Attributes:
        policy: folder of a policy; without one, random weights of the preset.
        preset: sizes of the network, where there is no policy.
        recipes: recipes to compare with the plain policy, separated by commas; not for a policy
            that follows one already. Calibrated on noise: it does not change the cost.
        device: where to compute, e.g. cpu or cuda:0.
        chunks: how many to time of each.
        threads: of torch; 0 leaves its choice.
        json: write the numbers here.
    """

    policy: Path | None = None
    preset: str = "deep"
    recipes: str = ""
    device: str = "cpu"
    chunks: int = 200
    threads: int = 0
    json: Path | None = None


def main(arguments: Latency) -> int:
    """Time, print and write."""
    import torch

    from vla_distill.benchmark.latency import compare_times
    from vla_distill.errors import DistillError

    if arguments.threads < 0:
        raise DistillError("--threads", got=arguments.threads, expected="0 or more")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows = compare_times(
        arguments.policy,
        arguments.preset,
        words(arguments.recipes),
        arguments.device,
        arguments.chunks,
    )
    for row in rows:
        parts = ", ".join(f"{s} {row[s]['median']:.2f}" for s in ("vision", "language", "head"))
        print(
            f"{row['name']}: {row['total']['median']:.2f} ms (95 % within"
            f" {row['total']['p95']:.2f}; {parts}), {row['speedup']:.2f} times as fast as plain"
        )
    if arguments.json:
        found = {"rows": rows, "device": arguments.device, "threads": torch.get_num_threads()}
        write(found | origin(), arguments.json)
    return 0
