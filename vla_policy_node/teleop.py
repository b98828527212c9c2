"""What an operator's keys or gamepad ask of the hand, and the pose that follows. No ROS here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import X5

GRIPPER_OPEN, GRIPPER_CLOSED = X5.gripper_max, 0.0
"""Openings that the gripper toggles between [m]; the arm's limits cut what is too wide for it."""
ARRIVED = 1e-4
"""Difference of openings that counts as none [m]."""
LONGEST_STEP = 0.1
"""Time that one answer moves for, at most [s]: after a gap the hand does not leap."""

KEYS = {
    "w": (0, +1), "s": (0, -1), "a": (1, +1), "d": (1, -1), "r": (2, +1), "f": (2, -1),
    "u": (3, +1), "o": (3, -1), "i": (4, +1), "k": (4, -1), "q": (5, +1), "e": (5, -1),
}  # fmt: skip
"""Key to axis of the twist (x y z, then about x y z, all of the base frame) and direction."""
GRIPPER_KEY = " "
HELP = """\
w/s forward, back    a/d left, right    r/f up, down
q/e turn left, right    i/k pitch    u/o roll
space: open or close the gripper
b: begin an episode    y: it succeeded, end    n: it failed, end    (recorder_node marks them)
Ctrl-C: leave"""


@dataclass(frozen=True)
class Wish:
    """What the operator wants.

    Attributes:
        twist: velocities along and about x, y, z of the base frame, as shares of the greatest.
            Shape (6,), -1 to 1.
        toggle: whether the gripper shall open if closed and close if open.
        held: whether what was begun may go on: not, where a button must be held and is not.
    """

    twist: NDArray[np.float64]
    toggle: bool = False
    held: bool = True

    @property
    def still(self) -> bool:
        """Whether nothing is wanted."""
        return not self.toggle and not self.twist.any()


class Keyboard:
    """Keys as a terminal gives them: it says when one is pressed or repeats, not when it is let go.

    Args:
        hold: a key counts as held for so long after it came [s]; longer than the pause before a
            terminal repeats a key would make short taps long.
    """

    def __init__(self, hold: float = 0.25) -> None:
        self._hold = hold
        self._until = np.zeros(6)
        self._direction = np.zeros(6)
        self._toggle = False

    def press(self, key: str, now: float) -> bool:
        """Take a key at a time of the steady clock [s]; whether it is one that moves something."""
        if key == GRIPPER_KEY:
            self._toggle = True
        elif key in KEYS:
            axis, direction = KEYS[key]
            self._until[axis], self._direction[axis] = now + self._hold, direction
        else:
            return False
        return True

    def wish(self, now: float) -> Wish:
        """What is wanted at a time of the steady clock [s]; a press of space is told once."""
        toggle, self._toggle = self._toggle, False
        return Wish(np.where(now < self._until, self._direction, 0.0), toggle)


class Gamepad:
    """``sensor_msgs/Joy`` of a gamepad with two sticks, as ``joy_node`` numbers an Xbox one's.

    Left stick: forward and left; right stick: up and turn; the right shoulder button must be held
    for anything to move; A toggles the gripper.

    Args:
        timeout: a pad that has not been heard for so long wants nothing [s].
        dead_zone: deflection of a stick that counts as none.
    """

    AXES = ((1, 0), (0, 1), (4, 2), (3, 5))
    """Axis of the pad, and of the twist that it moves."""
    ENABLE, GRIPPER = 5, 0

    def __init__(self, timeout: float = 0.5, dead_zone: float = 0.1) -> None:
        self._timeout, self._dead_zone = timeout, dead_zone
        self._heard, self._twist = -np.inf, np.zeros(6)
        self._pressed = self._toggle = self._enabled = False

    def hear(self, axes: Sequence[float], buttons: Sequence[int], now: float) -> None:
        """Take the pad's state at a time of the steady clock [s]; a pad with less wants nothing."""
        enough = len(axes) > max(axis for axis, _ in self.AXES) and len(buttons) > self.ENABLE
        self._heard, self._twist = now, np.zeros(6)
        self._enabled = enough and bool(buttons[self.ENABLE])
        if not self._enabled:
            self._pressed = False
            return
        for axis, place in self.AXES:
            value = float(np.clip(axes[axis], -1.0, 1.0))
            self._twist[place] = value if abs(value) > self._dead_zone else 0.0
        pressed = bool(buttons[self.GRIPPER])
        self._toggle |= pressed and not self._pressed
        self._pressed = pressed

    def wish(self, now: float) -> Wish:
        """What is wanted at a time of the steady clock [s]; a press of A is told once."""
        toggle, self._toggle = self._toggle, False
        fresh = now - self._heard < self._timeout
        held = fresh and self._enabled
        return Wish(self._twist if held else np.zeros(6), toggle and held, held)


@dataclass
class Steering:
    """Turns wishes into poses.

    Attributes:
        linear: greatest speed [m/s].
        angular: greatest angular speed [rad/s].
        gripper: opening on the way to [m]; None when it is there.
    """

    linear: float = 0.10
    angular: float = 0.6
    gripper: float | None = None

    def steer(
        self, wish: Wish, commanded: NDArray[np.float64], dt: float
    ) -> NDArray[np.float64] | None:
        """The pose and opening to command.

        Args:
            wish: what is wanted.
            commanded: last commanded position [m], rotation vector [rad], opening [m]. Shape (7,).
            dt: time since the last command [s].

        Returns:
            Shape (7,), as ``commanded``; None to stay.
        """
        opening = float(commanded[6])
        if not wish.held:
            self.gripper = None
        if wish.toggle:
            wanted = opening if self.gripper is None else self.gripper
            middle = (GRIPPER_OPEN + GRIPPER_CLOSED) / 2
            self.gripper = GRIPPER_CLOSED if wanted > middle else GRIPPER_OPEN
        if self.gripper is not None and abs(self.gripper - opening) < ARRIVED:
            self.gripper = None
        if not wish.twist.any() and self.gripper is None:
            return None
        step = np.clip(wish.twist, -1.0, 1.0) * min(max(dt, 0.0), LONGEST_STEP)
        turn = Rotation.from_rotvec(self.angular * step[3:])
        return np.concatenate(
            [
                commanded[:3] + self.linear * step[:3],
                (turn * Rotation.from_rotvec(commanded[3:6])).as_rotvec(),
                [opening if self.gripper is None else self.gripper],
            ]
        )
