"""Recorded chunks computed again from their input stamps, policy hash and noise seed."""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_distill.bags.content import Bag, RecordedChunk
from vla_distill.bags.errors import BagError
from vla_distill.bags.message import MessageMaker
from vla_distill.bags.series import Entry, place_in_time
from vla_policy.contract import ActionChunk, ComputeReport, Memory, Observation, Policy
from vla_policy.efficiency.budget import Adjustable, Budget
from vla_policy.errors import PolicyError
from vla_policy.observation import STATE_INPUTS, StateHistory, assemble_observation

STAMP_TOLERANCE = 1e-6
"""Stamps that agree so well are the same: seconds in a float64 hold no more [s]."""


@dataclass(frozen=True)
class ReplayedChunk:
    """How a chunk compares with itself.

    Attributes:
        stamp: of its observation [s].
        sequence: its number.
        equal: every number of the message is the same, to the bit.
        why_not: what is missing or differs first; empty when equal.
        position_mm: largest difference of a position [mm]; None where it could not be computed.
        rotation_deg: largest difference of an orientation [degrees].
        gripper_mm: largest difference of an opening [mm].
        other_budget: no budget that is tried here gives the recorded report, so that the chunk can
            be neither made again nor called different.
    """

    stamp: float
    sequence: int
    equal: bool
    why_not: str = ""
    position_mm: float | None = None
    rotation_deg: float | None = None
    gripper_mm: float | None = None
    other_budget: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def observation_of(bag: Bag, entry: Entry) -> Observation:
    """Assemble the observation behind a recorded chunk again, bit for bit.

    Args:
        bag: the bag.
        entry: one of ``bag.chunks``.

    Raises:
        BagError: an input of that stamp is not in the bag.
    """
    chunk = entry.value.chunk
    history, images = StateHistory(), {}
    for name, stamp in chunk.input_stamps.items():
        if name in STATE_INPUTS:
            found = _find(bag.states, entry.segment, stamp, "ee_state")
            history.add(found.stamp, found.value.state)
        else:
            found = _find(bag.images.get(name, []), entry.segment, stamp, f"camera {name}")
            images[name] = bag.message(found.value)
    return assemble_observation(images, history.at, chunk.instruction)


def continuation_of(bag: Bag, entry: Entry) -> tuple[ActionChunk | None, float | None]:
    """What a chunk of real-time chunking was computed to go on from.

    Args:
        bag: the bag.
        entry: one of ``bag.chunks``.

    Returns:
        The chunk before, and until when it was frozen [s]; None and None for a free chunk.

    Raises:
        BagError: the chunk before is not in the bag.
    """
    continues = entry.value.chunk.continues
    if continues is None:
        return None, None
    found = _find(bag.chunks, entry.segment, continues.previous, "action_chunk before this one")
    return found.value.chunk, continues.frozen_until


def replay(
    bag: Bag, policy: Policy, tell: Callable[[int, int], object] = lambda done, total: None
) -> list[ReplayedChunk]:
    """Compute every recorded chunk again, within the budget that its report tells.

    Args:
        bag: a bag with ``action_chunk``.
        policy: the policy that made them, on the same machine and kind of processor; its own budget
            stays as it is.
        tell: called with chunks done and chunks in all.

    Raises:
        BagError: the bag holds no chunk, or another policy made them.
    """
    if not bag.chunks:
        raise BagError(f"bag {bag.storage.path}", got="no action_chunk", expected="chunks")
    hashes = sorted({entry.value.chunk.policy_hash for entry in bag.chunks})
    if hashes != [policy.policy_hash]:
        raise BagError(
            f"bag {bag.storage.path}: policy hash", got=policy.policy_hash, expected=hashes
        )
    if isinstance(plan := getattr(policy, "plan", None), Adjustable):
        policy = copy.copy(policy)
        policy.plan = copy.copy(plan)  # type: ignore[attr-defined]
    make, results = MessageMaker(), []
    memory: Memory | None = None
    for number, entry in enumerate(bag.chunks):
        tell(number, len(bag.chunks))
        recorded: RecordedChunk = entry.value
        known = recorded.chunk.stamp, recorded.chunk.sequence
        try:
            observation = observation_of(bag, entry)
            before, until = continuation_of(bag, entry)
        except ValueError as error:
            results.append(ReplayedChunk(*known, False, str(error)))
            memory = None
            continue
        # What was kept of the chunk before is there, if it was the one before this.
        if memory is None or (memory.seed, memory.sequence) != _place(recorded.chunk):
            memory = _memory(recorded.chunk, bag.chunks[number - 1].value.chunk if number else None)
        memory.frozen_until = until
        if before is not None:
            memory.previous = before
        result, memory = _made_again(policy, observation, memory, recorded, make)
        results.append(result)
    tell(len(bag.chunks), len(bag.chunks))
    return results


def _made_again(
    policy: Policy,
    observation: Observation,
    memory: Memory,
    recorded: RecordedChunk,
    make: MessageMaker,
) -> tuple[ReplayedChunk, Memory | None]:
    """Compute a chunk within each budget that its report allows, until it is the same.

    Returns:
        How it compares, and the memory after it; None where that is not known.
    """
    report = recorded.chunk.report
    plan: Any = getattr(policy, "plan", None)
    budgets = _budgets(plan, report) if isinstance(plan, Adjustable) else [None]
    result = ReplayedChunk(
        recorded.chunk.stamp,
        recorded.chunk.sequence,
        False,
        f"made within another budget than can be told from its report: {_work(report)}",
        other_budget=True,
    )
    known: Memory | None = None
    for budget in budgets:
        if budget is not None:
            plan.budget = budget
        after = replace(memory)
        (chunk,) = policy.infer([observation], [after])
        compared = _compare(recorded, make.chunk(chunk))
        if compared.equal:
            return compared, after
        if budget is None or _work(chunk.report) == _work(report):
            result, known = compared, after
    return result, known


def _budgets(plan: Adjustable, report: ComputeReport) -> list[Budget]:
    """Budgets that can have given a report, first the one that holds now.

    Of the tokens taken from earlier frames a report says nothing: as many as the recipe says.
    """
    plan, now = copy.copy(plan), plan.budget
    low, high = plan.limits["language_layers"]
    steps, found = report.head_steps[0], []
    for layers, interval in product(range(low, high + 1), range(1, steps + 1)):
        tokens, reused = report.visual_tokens[1], plan.default.reused_tokens
        try:
            plan.budget = Budget(layers, tokens, interval, steps, reused)
        except PolicyError:  # out of this policy's limits
            continue
        if plan.can_have_made(report):
            found.append(plan.budget)
    return sorted(found, key=lambda budget: budget != now)


def _work(report: ComputeReport) -> str:
    """What was computed, in words; equal for equal work."""
    total, computed = report.head_steps
    return (
        f"layers {list(report.layers_run)}, {report.visual_tokens[1]} visual tokens, "
        f"{computed} of {total} head steps, {report.gflops} GFLOP"
    )


def _place(chunk: ActionChunk) -> tuple[int, int]:
    return chunk.seed, chunk.sequence


def _memory(chunk: ActionChunk, before: ActionChunk | None) -> Memory:
    """The memory before a chunk; a router looks at what ran for the one before it."""
    memory = Memory(*_place(chunk))
    if before is not None and before.instruction == chunk.instruction:
        memory.previous = before if before.sequence == chunk.sequence - 1 else None
    return memory


def _compare(recorded: RecordedChunk, again: Any) -> ReplayedChunk:
    old, new = _numbers(recorded.message), _numbers(again)
    known = recorded.chunk.stamp, recorded.chunk.sequence
    if old.shape != new.shape:
        return ReplayedChunk(*known, False, f"{len(old)} targets recorded, {len(new)} computed")
    if np.array_equal(old, new):
        return ReplayedChunk(*known, True, "", 0.0, 0.0, 0.0)
    row = int(np.argmax((old != new).any(axis=1)))
    turn = np.abs((old[:, 3:7] * new[:, 3:7]).sum(axis=1)).clip(0.0, 1.0)
    return ReplayedChunk(
        *known,
        False,
        f"differs from target {row} on",
        float(1e3 * np.linalg.norm(old[:, :3] - new[:, :3], axis=1).max()),
        float(np.degrees(2.0 * np.arccos(turn)).max()),
        float(1e3 * np.abs(old[:, 7] - new[:, 7]).max()),
    )


def _numbers(message: Any) -> NDArray[np.float64]:
    """Positions, quaternions and openings of a chunk's message. Shape (T, 8)."""
    rows = []
    for pose, opening in zip(message.poses, message.grippers, strict=True):
        p, q = pose.position, pose.orientation
        rows.append((p.x, p.y, p.z, q.x, q.y, q.z, q.w, opening))
    return np.array(rows, np.float64).reshape(-1, 8)


def _find(entries: Sequence[Entry], segment: int, stamp: float, what: str) -> Entry:
    index = bisect_left(entries, (segment, stamp - STAMP_TOLERANCE), key=place_in_time)
    if index < len(entries):
        entry = entries[index]
        if entry.segment == segment and abs(entry.stamp - stamp) <= STAMP_TOLERANCE:
            return entry
    raise BagError(what, got=f"none in the bag at {stamp:.6f} s", expected="the recorded input")
