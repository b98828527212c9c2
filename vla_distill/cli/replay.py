"""Compute the chunks of a bag again, exactly, and say where they differ."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Arguments:
    """Exit code 0 when every chunk is the same to the bit, 1 when one differs or lacks an input, 3
    when none does but the budget of one cannot be told."""

    bag: tyro.conf.Positional[Path]
    """A bag with action_chunk."""
    policy: Path = Path("checkpoints/teacher")
    """Folder of the policy that made the chunks; its hash must be theirs."""
    mapping: Path | None = None
    """YAML file that says which topic plays which part."""
    device: str = "cpu"
    """Where the policy runs."""
    json: Path | None = None
    """Write the comparison of every chunk here."""


def main(arguments: Arguments) -> int:
    """Replay, print a summary and the first chunks that are not the same."""
    from vla_distill.bags.content import read_bag
    from vla_distill.bags.mapping import load_mapping
    from vla_distill.bags.replay import replay
    from vla_policy.checkpoint import load_policy

    bag = read_bag(arguments.bag, load_mapping(arguments.mapping))
    results = replay(bag, load_policy(arguments.policy, arguments.device))
    others = [result for result in results if result.other_budget]
    differing = [result for result in results if not (result.equal or result.other_budget)]
    summary = {
        "chunks": len(results),
        "equal": len(results) - len(differing) - len(others),
        "differing": [result.as_dict() for result in differing],
        "other_budget": [result.as_dict() for result in others],
        "faults": [fault.as_dict() for fault in bag.faults],
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    for fault in bag.faults:
        print(f"warning: {fault}", file=sys.stderr)
    print(f"{summary['equal']} of {summary['chunks']} chunks are the same to the bit")
    for result in [*differing, *others][:10]:
        size = "" if result.position_mm is None else f" ({result.position_mm:.2g} mm)"
        print(f"  chunk {result.sequence} at {result.stamp:.3f} s: {result.why_not}{size}")
    return 1 if differing else 3 if others else 0
