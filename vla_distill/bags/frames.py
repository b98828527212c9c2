"""Frames of an episode at an even rate: for each, the images and the state of one instant.

A frame is due every ``1 / fps`` from the first instant at which every camera and the state are
there. It takes each camera's newest image, at most ``max_age`` old; its own stamp is that of the
oldest of them, and the state is interpolated to it, exactly as in the live node. The action is what
was commanded one step later. A frame without an image or a state ends the frames: what follows
the gap is a part of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from vla_distill.bags.content import Bag
from vla_distill.bags.episode import Episode
from vla_distill.bags.fault import FaultList
from vla_distill.bags.series import Entry, place_in_time
from vla_policy.errors import PolicyError
from vla_policy.observation import StateHistory, StateSample

_EPSILON = 1e-6
COMMAND_GAP = 0.2
"""Between commands further apart than this nothing is known [s]."""
STATE_GAP = 0.2
"""Between states further apart than this nothing is known [s]."""


class PoseSeries:
    """Poses and openings over time.

    Args:
        stamps: rising. Shape (N,) [s].
        poses: Shape (N, 7) [m, rad].
    """

    def __init__(self, stamps: Sequence[float], poses: Sequence[NDArray[np.float64]]) -> None:
        self.stamps = np.asarray(stamps, np.float64)
        self.poses = np.asarray(poses, np.float64).reshape(-1, 7)

    @cached_property
    def _turn(self) -> Slerp:
        return Slerp(self.stamps, Rotation.from_rotvec(self.poses[:, 3:6]))

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolate; NaN outside the series and in its gaps. Shape (T, 7)."""
        result = np.full((len(times), 7), np.nan)
        if len(self.stamps) < 2:
            return result
        near = np.clip(times, self.stamps[0], self.stamps[-1])
        right = np.clip(np.searchsorted(self.stamps, near), 1, len(self.stamps) - 1)
        left = right - 1
        gap = self.stamps[right] - self.stamps[left]
        known = (np.abs(near - times) <= _EPSILON) & (gap <= COMMAND_GAP)
        known |= np.abs(self.stamps[right] - times) <= _EPSILON
        share = ((near - self.stamps[left]) / gap)[:, None]
        value = self.poses[left] + share * (self.poses[right] - self.poses[left])
        value[:, 3:6] = self._turn(near).as_rotvec()
        # Where a message lies on the very instant, it stands as it is.
        exact = np.abs(self.stamps[right] - near) <= _EPSILON
        value[exact] = self.poses[right[exact]]
        result[known] = value[known]
        return result


def reference(bag: Bag, episode: Episode, source: str = "auto") -> PoseSeries:
    """What was done in an episode.

    Args:
        bag: the bag.
        episode: the episode.
        source: ``command``: poses of ``ee_command``; ``commanded``: those that ``ee_state`` says
            were sent, each at the stamp of the state before it, which it answered; ``measured``:
            where the arm was (a hand-guided arm). ``auto``: ``command`` if there are any, then
            ``measured`` if the arm was guided by hand, else ``commanded``.
    """
    states = episode.of(bag.states)
    commands = episode.of(bag.commands)
    if source == "auto":
        source = "command" if commands else "measured" if _guided(states) else "commanded"
    if source == "command":
        return PoseSeries([e.stamp for e in commands], [e.value for e in commands])
    if source == "measured":
        return PoseSeries([e.stamp for e in states], [e.value.state[:7] for e in states])
    after = states[1:]
    return PoseSeries([e.stamp for e in states[: len(after)]], [e.value.commanded for e in after])


def _guided(states: Sequence[Entry]) -> bool:
    """Whether the commanded poses follow the measured ones, as in mode ``teach``.

    A driven arm never is where it was sent to the micrometre; one outside its ranges is not sent
    where it is.
    """
    equal = [np.allclose(e.value.state[:7], e.value.commanded, rtol=0, atol=1e-6) for e in states]
    return 2 * sum(equal) > len(equal)


@dataclass(frozen=True)
class Frame:
    """One instant.

    Attributes:
        stamp: of its oldest image [s].
        images: camera -> the entry of its image.
        state: Shape (8,), as the live node has it.
    """

    stamp: float
    images: dict[str, Entry]
    state: NDArray[np.float64]


def frames(
    bag: Bag,
    episode: Episode,
    cameras: Sequence[str],
    fps: float,
    faults: FaultList,
    max_age: float = 0.25,
) -> Iterator[list[Frame]]:
    """Align an episode; yields its parts, more than one where there are gaps.

    Args:
        bag: the bag.
        episode: the episode.
        cameras: cameras that every frame needs.
        fps: frames a second.
        faults: gaps are noted here.
        max_age: an image older than this is missing [s].
    """
    images = {name: episode.of(bag.images.get(name, [])) for name in cameras}
    stamps = {name: [e.stamp for e in entries] for name, entries in images.items()}
    missing = [name for name in cameras if not images[name]]
    for name in missing:
        faults.add(f"camera {name}", episode.start, f"no image in episode {episode.index}", 0)
    if missing or not any(entry.segment == episode.segment for entry in bag.states):
        return
    begin = max(values[0] for values in stamps.values())
    # After the last image there is nothing new to see.
    end = min(episode.end, max(values[-1] for values in stamps.values()))
    part: list[Frame] = []
    for number in range(int((end - begin) * fps + 1 + _EPSILON)):
        due = begin + number / fps
        picked: dict[str, Entry] = {}
        for name in cameras:
            index = bisect_right(stamps[name], due + _EPSILON) - 1
            if due - stamps[name][index] <= max_age:
                picked[name] = images[name][index]
            else:
                faults.add(f"camera {name}", due, f"no image for {max_age} s: a frame is left out")
        frame = None
        if len(picked) == len(cameras):
            stamp = min(entry.stamp for entry in picked.values())
            try:
                sample = _state_at(bag.states, episode.segment, stamp)
            except PolicyError as error:
                faults.add("ee_state", due, f"{error.what}: {str(error.expected).split(' of ')[0]}")
            else:
                # The live node knows no later states, and so never bridges a gap.
                if stamp - sample.stamps[0] > _EPSILON and _spread(sample) > STATE_GAP + _EPSILON:
                    faults.add("ee_state", due, f"no state for {STATE_GAP} s: a frame is left out")
                else:
                    frame = Frame(stamp, picked, sample.state)
        if frame is not None:
            part.append(frame)
        elif part:
            yield part
            part = []
    if part:
        yield part


def _state_at(states: Sequence[Entry], segment: int, stamp: float) -> StateSample:
    """The state at a time [s], by the live node's rule, which asks for no more than two of them."""
    history, after = StateHistory(), bisect_right(states, (segment, stamp), key=place_in_time)
    for entry in states[max(after - 1, 0) : after + 1]:
        if entry.segment == segment:
            history.add(entry.stamp, entry.value.state)
    return history.at(stamp)


def _spread(sample: StateSample) -> float:
    return sample.stamps[-1] - sample.stamps[0]
