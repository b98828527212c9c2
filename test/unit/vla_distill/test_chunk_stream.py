"""Laws of the chunk stream with faults, and of the arm behind it: it never jumps, and stops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from vla_arm.command import Reason
from vla_arm.controller import EndEffectorController
from vla_arm.joint_table import X5
from vla_arm.limits import ArmLimits
from vla_distill.evaluation.seams import SeamMeter
from vla_policy.chunk_stream import ChunkStream, StreamFaults
from vla_policy.chunking import CHUNKINGS
from vla_policy.contract import ActionChunk, Memory
from vla_policy.errors import PolicyError
from vla_policy.player import ChunkPlayer

TICK, STEP, HORIZON, REPLAN = 0.02, 0.1, 16, 10
HOME = np.array([0.0, 0.9, 1.1, -0.6, 0.0, 0.0])
BAD = StreamFaults(delay=0.1, jitter=0.1, loss=0.3, duplication=0.2, reordering=0.3)


def chunk(stamp: float, sequence: int, start: np.ndarray) -> ActionChunk:
    """A slow circle with turns, as a policy that is a little undecided sees it."""
    due = stamp + STEP * np.arange(1, HORIZON + 1)
    targets = np.tile(start, (HORIZON, 1))
    targets[:, 1] += 0.06 * np.sin(due)
    targets[:, 2] += 0.03 * (1.0 - np.cos(due)) + 0.002 * (-1) ** sequence
    targets[:, 3] += 0.2 * np.sin(0.7 * due)
    return ActionChunk(targets.astype(np.float32), stamp, STEP, sequence=sequence)


def numbered(stamp: float, sequence: int) -> ActionChunk:
    return chunk(stamp, sequence, np.zeros(7))


def test_without_faults_every_chunk_arrives_once_and_at_once() -> None:
    stream = ChunkStream()
    for number in range(20):
        sent = numbered(0.1 * number, number)
        stream.send(sent, 0.1 * number)
        assert stream.take(0.1 * number) == [sent]
    assert stream.take(math.inf) == [] and (stream.sent, stream.lost) == (20, 0)


def test_delay_and_jitter_stay_within_their_bounds() -> None:
    stream = ChunkStream(StreamFaults(delay=0.3, jitter=0.2), seed=1)
    for number in range(200):
        sent = numbered(float(number), number)
        stream.send(sent, float(number))
        assert stream.take(number + 0.3 - 1e-3) == []
        assert stream.take(number + 0.5) == [sent]


def test_the_shares_are_those_asked_for() -> None:
    faults = StreamFaults(loss=0.3, duplication=0.2, reordering=0.25, held_back=1.5)
    stream, arrived = ChunkStream(faults, seed=2), []
    for number in range(2000):
        stream.send(numbered(float(number), number), float(number))
        arrived += [each.sequence for each in stream.take(float(number))]
    arrived += [each.sequence for each in stream.take(math.inf)]
    assert stream.lost / 2000 == pytest.approx(0.3, abs=0.05)
    assert len(set(arrived)) == 2000 - stream.lost
    assert len(arrived) / len(set(arrived)) == pytest.approx(1.2, abs=0.05)
    overtaken = sum(later < earlier for earlier, later in pairwise(arrived))
    assert overtaken > 100


def test_the_same_seed_gives_the_same_stream_and_another_fault_changes_no_loss() -> None:
    def lost(faults: StreamFaults) -> list[int]:
        stream, found = ChunkStream(faults, seed=3), []
        for number in range(50):
            before = stream.lost
            stream.send(numbered(0.0, number), 0.0)
            found += [number] * (stream.lost - before)
        return found

    assert lost(BAD) == lost(BAD) == lost(StreamFaults(loss=0.3)) != []


@pytest.mark.parametrize("faults", [{"loss": 1.1}, {"delay": -0.1}, {"jitter": math.nan}])
def test_faults_out_of_range_are_named(faults: dict) -> None:
    with pytest.raises(PolicyError, match=next(iter(faults))):
        StreamFaults(**faults)


@pytest.mark.parametrize("name", sorted(CHUNKINGS))
@pytest.mark.parametrize("faults", [StreamFaults(), BAD], ids=["good", "bad"])
def test_the_arm_never_jumps_and_stops_when_the_stream_does(
    name: str, faults: StreamFaults
) -> None:
    controller = EndEffectorController(X5, ArmLimits(), TICK)
    controller.reset(HOME, 0.05)
    start = controller.commanded_pose()
    player, stream, chunking = ChunkPlayer(), ChunkStream(faults, seed=4), CHUNKINGS[name]()
    player.reset(start)
    memory, positions, moved, ended = Memory(0), [HOME], 0, 6.0
    for tick in range(round((ended + 3.0) / TICK)):
        now = tick * TICK
        if tick % REPLAN == 0 and now < ended:
            chunking.ask(memory, now)
            stream.send(chunk(now, tick // REPLAN, start), now)
        for arrived in stream.take(now):
            player.add(chunking.receive(arrived, now))
        target = player.sample(now)
        if target is None:
            command = controller.hold(Reason.POLICY_HOLD)
        else:
            assert player.newest is not None
            command = controller.command(target, now, now, player.newest.stamp)
        positions.append(command.positions)
        moved += target is not None
    counters = controller.counters
    assert moved > 200
    assert not set(counters.refused) - {Reason.POLICY_HOLD, Reason.STALE_OBSERVATION}
    assert counters.refused.get(Reason.ORIENTATION_JUMP, 0) == 0
    steps = np.abs(np.diff(positions, axis=0))
    assert (steps <= X5.velocity * TICK + 1e-9).all()
    last = round((ended + HORIZON * STEP + faults.delay + faults.jitter + faults.held_back) / TICK)
    assert (steps[last:] == 0.0).all() and player.sample(ended + 3.0) is None


def test_a_straight_way_has_no_jump_at_its_seams_and_a_kink_has_its_own() -> None:
    meter, target = SeamMeter(TICK), np.zeros(7)
    for tick in range(40):
        target[0] += 0.001 if tick < 20 else 0.003
        meter.see(target, stamp=0.2 * (tick // 10))
    assert len(meter.jumps) == 3
    np.testing.assert_allclose(meter.jumps, [0.0, 0.1, 0.0], atol=1e-9)
    assert meter.jump == pytest.approx(0.1 / 3) and meter.roughness == pytest.approx(0.1 / 38)
    meter.see(None, None)
    meter.see(target, 9.0)
    assert len(meter.jumps) == 3  # after a hold there is no velocity to compare with
