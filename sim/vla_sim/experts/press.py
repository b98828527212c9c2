"""Expert of the press task: the closed fingers push the cap down from above, then rise."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from vla_sim.experts.funnel import descend
from vla_sim.experts.hand import CLOSED, Hand
from vla_sim.experts.motion import Waypoint, yaw_of
from vla_sim.scene.fixtures.button import CAP_TOP, TRAVEL
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

FINGERTIP: Final = 0.012
"""How far the fingertips reach below the tool point [m]."""
HOVER: Final = 0.085
"""Height of the tool point from which it goes down on a button [m]."""
RISEN: Final = 0.12
"""Height of the tool point that it goes back to [m]."""
SHUT: Final = 0.015
"""Opening of the gripper under which the fingers press as one [m]."""


def press_button(truth: Truth, name: str) -> Waypoint | None:
    """The next waypoint until the button's light is on, then None."""
    if name in truth.events.pressed:
        return None
    button = truth.layout.fixture(name)
    end = np.array([button.x, button.y, CAP_TOP - TRAVEL + FINGERTIP])
    azimuth = float(np.arctan2(button.y, button.x))
    return descend(truth, end, azimuth, CLOSED, HOVER, ready=truth.gripper_opening() < SHUT)


class PressPlan:
    """Presses, goes straight up and stays."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        waypoint = press_button(truth, aim.target)
        if waypoint is not None:
            return waypoint
        pose = truth.commanded_pose()
        up = np.array([*pose[:2], max(RISEN, pose[2])])
        phase = "hold" if truth.gripper_position()[2] > RISEN - 0.01 else "leave"
        return Waypoint(up, yaw_of(Rotation.from_rotvec(pose[3:])), CLOSED, True, phase)
