"""Between end-effector poses and the numbers of a Box action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_distill.environments.errors import AdapterError

Array = NDArray[np.float64]
ANCHORS = ("commanded", "measured", "base")


@dataclass(frozen=True)
class BoxAction:
    """What the numbers of a Box action mean; numbers that are not named stay 0.

    A pose is position [m], rotation vector [rad] and gripper opening [m]. Shape (7,).

    Attributes:
        scale: displacement (position, with ``base``) that 1 stands for [m].
        anchor: what a displacement is added to: the ``commanded`` pose, if the environment adds up
            its commands; the ``measured`` one, if it starts from where the arm is; ``base``, if the
            numbers are no displacement but the position itself.
        position: where x, y, z are in the Box.
        rotation: where a rotation vector in base axes is; empty for a hand that never turns.
        rotation_scale: turn that 1 stands for [rad].
        gripper: where the gripper is; None without one.
        gripper_open: the gripper's number when it opens.
        gripper_closed: the number when it closes. Numbers between stand for openings between.
        gripper_width: the opening that ``gripper_open`` stands for [m].

    Raises:
        AdapterError: a value that is not possible.
    """

    scale: float
    anchor: Literal["commanded", "measured", "base"] = "commanded"
    position: tuple[int, int, int] = (0, 1, 2)
    rotation: tuple[int, ...] = ()
    rotation_scale: float = 1.0
    gripper: int | None = None
    gripper_open: float = 1.0
    gripper_closed: float = -1.0
    gripper_width: float = 0.08

    def __post_init__(self) -> None:
        if self.anchor not in ANCHORS:
            raise AdapterError("anchor", got=self.anchor, expected=f"one of {ANCHORS}")
        if len(self.position) != 3 or len(self.rotation) not in (0, 3):
            raise AdapterError(
                "position, rotation",
                got=(self.position, self.rotation),
                expected="3 places; none or 3 places",
            )
        for name in ("scale", "rotation_scale", "gripper_width"):
            if not getattr(self, name) > 0.0:
                raise AdapterError(name, got=getattr(self, name), expected="more than 0")
        if self.gripper_open == self.gripper_closed:
            raise AdapterError(
                "gripper_open, gripper_closed", got=self.gripper_open, expected="two numbers"
            )

    @property
    def size(self) -> int:
        """Numbers that a Box must at least have."""
        return 1 + max(*self.position, *self.rotation, -1 if self.gripper is None else self.gripper)

    def pose(self, numbers: Array, anchor: Array) -> Array:
        """The pose that an action commands.

        Args:
            numbers: of the Box. Shape (n,).
            anchor: pose that a displacement is added to; what the action says nothing about stays
                as it is there. Shape (7,).
        """
        pose, first = self._start(anchor)
        pose[:3] += self.scale * numbers[list(self.position)]
        if self.rotation:
            turn = Rotation.from_rotvec(self.rotation_scale * numbers[list(self.rotation)])
            pose[3:6] = (turn * first).as_rotvec()
        if self.gripper is not None:
            span = self.gripper_open - self.gripper_closed
            share = (numbers[self.gripper] - self.gripper_closed) / span
            pose[6] = self.gripper_width * np.clip(share, 0.0, 1.0)
        return pose

    def numbers(self, pose: Array, anchor: Array, size: int) -> Array:
        """The inverse of :meth:`pose`: ``size`` numbers, not limited to the Box yet."""
        start, first = self._start(anchor)
        numbers = np.zeros(size)
        numbers[list(self.position)] = (pose[:3] - start[:3]) / self.scale
        if self.rotation:
            turn = Rotation.from_rotvec(pose[3:6]) * first.inv()
            numbers[list(self.rotation)] = turn.as_rotvec() / self.rotation_scale
        if self.gripper is not None:
            share = np.clip(pose[6] / self.gripper_width, 0.0, 1.0)
            span = self.gripper_open - self.gripper_closed
            numbers[self.gripper] = self.gripper_closed + span * share
        return numbers

    def drift(self, offset: Array, ticks: int, size: int) -> Array:
        """What to add to the numbers so that ``ticks`` of them shift the arm by an offset.

        Args:
            offset: shift and turn. Shape (6,) [m, rad].
            ticks: actions that it is spread over; a position is shifted by all of it at once.
            size: numbers of the Box.
        """
        numbers, share = np.zeros(size), 1.0 if self.anchor == "base" else 1.0 / ticks
        numbers[list(self.position)] = share * offset[:3] / self.scale
        if self.rotation:
            numbers[list(self.rotation)] = share * offset[3:] / self.rotation_scale
        return numbers

    def _start(self, anchor: Array) -> tuple[Array, Rotation]:
        """The pose that numbers are added to, and its rotation."""
        start = anchor.copy()
        if self.anchor == "base":
            start[:3] = 0.0
            return start, Rotation.identity()
        return start, Rotation.from_rotvec(anchor[3:6])
