"""What is in a bag, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import split
from vla_distill.bags.errors import BagError
from vla_distill.bags.fault import FaultList
from vla_policy.errors import PolicyError


def describe(bag: Bag, decoding: Callable[[int, int], object] | None = None) -> dict[str, Any]:
    """Topics, cameras, episodes and faults.

    Args:
        bag: the bag.
        decoding: called with images decoded and images in all; None decodes none.
    """
    begin, end = bag.span
    faults = [fault.as_dict() for fault in bag.faults]
    if decoding is not None:
        faults += [fault.as_dict() for fault in _undecodable(bag, decoding)]
    try:
        episodes = split(bag)
    except BagError as error:
        episodes = []
        faults.append({"topic": "", "time": None, "reason": str(error), "count": 0})
    return {
        "bag": str(bag.storage.path),
        "bytes": bag.storage.size,
        "seconds": round(end - begin, 3) if end >= begin else 0.0,
        "topics": [
            {"topic": topic, "type": kind, "messages": count}
            for topic, (kind, count) in bag.topics.items()
        ],
        "cameras": {name: len(entries) for name, entries in sorted(bag.images.items())},
        "states": len(bag.states),
        "commands": len(bag.commands),
        "chunks": len(bag.chunks),
        "episodes": [
            {
                "start": episode.start,
                "seconds": round(episode.end - episode.start, 3),
                "instruction": episode.instruction,
                "task": episode.task,
                "seed": episode.seed,
                "success": episode.success,
                "split_by": episode.split_by,
            }
            for episode in episodes
        ],
        "missing": _missing(bag),
        "images_decoded": decoding is not None,
        "faults": faults,
    }


def _missing(bag: Bag) -> list[str]:
    """Parts that no topic plays; not every bag needs all of them."""
    parts = {
        "camera": bag.images,
        "state": bag.states,
        "command": bag.commands,
        "instruction": bag.instructions,
        "marks": bag.marks,
        "chunks": bag.chunks,
    }
    return [name for name, entries in parts.items() if not entries]


def _undecodable(bag: Bag, tell: Callable[[int, int], object]) -> FaultList:
    faults = FaultList()
    entries = sorted(
        (entry for own in bag.images.values() for entry in own), key=lambda e: e.value.place
    )
    for number, entry in enumerate(entries):
        tell(number, len(entries))
        try:
            bag.pixels(entry.value)
        except PolicyError as error:
            faults.add(entry.value.topic, entry.stamp, str(error))
    return faults


def print_info(found: dict[str, Any]) -> None:
    """Print what :func:`describe` found."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{found['bag']}: {found['bytes'] / 1e6:.1f} MB, {found['seconds']:.1f} s")
    topics = Table("topic", "type", "messages")
    for row in found["topics"]:
        topics.add_row(row["topic"], row["type"], str(row["messages"]))
    console.print(topics)
    episodes = Table("start", "length", "instruction", "success", "split by")
    for row in found["episodes"]:
        success = {True: "yes", False: "no", None: "-"}[row["success"]]
        episodes.add_row(
            f"{row['start']:.2f} s", f"{row['seconds']:.2f} s", row["instruction"], success,
            row["split_by"],
        )  # fmt: skip
    console.print(episodes)
    for row in found["faults"]:
        when = "" if row["time"] is None else f" at {row['time']:.3f} s"
        many = f" ({row['count']} times)" if row["count"] > 1 else ""
        console.print(f"{row['topic'] or 'file'}{when}: {row['reason']}{many}", markup=False)
    if found["missing"]:
        console.print(f"nothing plays the part of: {', '.join(found['missing'])}")
    if not found["faults"]:
        decoded = "" if found["images_decoded"] else " (images were not decoded: --images)"
        console.print(f"nothing is wrong with it{decoded}", markup=False)
