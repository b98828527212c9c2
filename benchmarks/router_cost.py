"""What a student's router adds to a chunk, timed while other policies take turns with it.

python benchmarks/router_cost.py --json benchmarks/results/router_cost.json

Teacher and student take turns, so that the router finds caches as cold as in a loop that does other
things. What is timed is all that a plain policy does not do: scores and decision. Chunks are timed
in rounds of their own, as a clock in their middle slows them down.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

from vla_distill.benchmark.comparison import recipe_of
from vla_distill.benchmark.latency import time_in_turns
from vla_distill.calibration import draw_observations
from vla_distill.evaluation.machine import command, commit, machine
from vla_distill.evaluation.statistics import percentiles
from vla_policy.checkpoint import load_policy

ROUNDS = 5
SEEN = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", default="checkpoints/teacher")
    parser.add_argument("--policy", default="checkpoints/student")
    parser.add_argument("--data", default="data/arx5_train", help="frames to look at")
    parser.add_argument("--chunks", type=int, default=100, help="of each policy and round")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    policies = {name: load_policy(getattr(arguments, name)) for name in ("teacher", "policy")}
    router = type(recipe_of(policies["policy"]).method("language_layers"))
    seen = draw_observations(arguments.data, SEEN)
    decide, spent, chunks = router.open, [], []

    def timed(*given: Any) -> Any:
        begin = time.perf_counter()
        found = decide(*given)
        spent.append(1e3 * (time.perf_counter() - begin))
        return found

    for _ in range(ROUNDS):
        chunks.append(time_in_turns(policies, arguments.chunks, seen)["policy"]["total"]["median"])
        with mock.patch.object(router, "open", timed):
            time_in_turns(policies, arguments.chunks, seen)
    chunk, own = percentiles(chunks)["median"], percentiles(spent)
    print(f"a chunk {chunk:.2f} ms, its router {own['median']:.3f} ms: {own['median'] / chunk:.1%}")
    if arguments.json:
        record = {
            "chunk_ms": chunk,
            "router_ms": own,
            "share": own["median"] / chunk,
            "policy_hash": policies["policy"].policy_hash,
            "commit": commit(),
            "command": command(),
            "machine": machine(),
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
