"""Expert of the insert task: grasp the peg, carry it over the hole, lower, let go, rise."""

from __future__ import annotations

from typing import Final

import numpy as np

from vla_sim.experts.carry import FINGERTIP, Destination, carry, leave
from vla_sim.experts.hand import Hand
from vla_sim.experts.motion import Waypoint, wrapped
from vla_sim.experts.pick import grasp_object
from vla_sim.scene.fixtures.socket import SOCKET_HEIGHT
from vla_sim.tasks import Aim
from vla_sim.tasks.insert import Insert
from vla_sim.truth import Truth

HEIGHT: Final = 0.13
"""Of the tool point on the way, so that the peg's foot clears the other pegs [m]."""
DROP: Final = 0.004
"""Height over the table at which the fingers open [m]."""
UPRIGHT: Final = 0.8
"""A peg in the hole that leans by less than this cosine rights itself when let go."""


class InsertPlan:
    """Everything is decided from where peg and gripper are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        assert aim.goal is not None
        if not hand.closed and Insert().inside(truth, aim, UPRIGHT):
            return leave(truth, hand, HEIGHT)
        waypoint = grasp_object(truth, aim.target, hand)
        if waypoint is not None:
            return waypoint
        return carry(truth, aim.target, self._destination(truth, aim.goal))

    def _destination(self, truth: Truth, goal: str) -> Destination:
        """Down the hole, the gripper square to it."""
        x, y, _ = truth.position(goal)
        azimuth = float(np.arctan2(y, x))
        turn = wrapped(truth.layout.fixture(goal).yaw - azimuth, np.pi / 2)
        return Destination(
            point=np.array([x, y, DROP]),
            yaw=azimuth + turn,
            lowest=SOCKET_HEIGHT + FINGERTIP + 0.004,
            height=HEIGHT,
            low=0.015,
            near=0.004,
            far=0.009,
            foot=True,
            turn_weight=0.02,
        )
