"""Expert of the stack task: grasp, carry over the base, lower, let go, rise."""

from __future__ import annotations

from typing import Final

import numpy as np

from vla_sim.experts.carry import FINGERTIP, Destination, carry, leave
from vla_sim.experts.hand import Hand
from vla_sim.experts.motion import Waypoint
from vla_sim.experts.pick import grasp_object
from vla_sim.tasks import Aim
from vla_sim.tasks.stack import Stack
from vla_sim.truth import Truth

HEIGHT: Final = 0.13
"""Of the tool point on the way, so that what hangs in it clears whatever stands there [m]."""
DROP: Final = 0.003
"""Height over the base at which the fingers open [m]."""


class StackPlan:
    """Everything is decided from where the objects and the gripper are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        assert aim.goal is not None
        if not hand.closed and Stack().on(truth, aim, slack=0.012):
            return leave(truth, hand, HEIGHT)
        waypoint = grasp_object(truth, aim.target, hand)
        if waypoint is not None:
            return waypoint
        return carry(truth, aim.target, self._destination(truth, aim.goal))

    def _destination(self, truth: Truth, goal: str) -> Destination:
        """On the middle of the base's top."""
        x, y, z = truth.top(goal)
        return Destination(
            point=np.array([x, y, z + DROP]),
            yaw=float(np.arctan2(y, x)),
            lowest=z + FINGERTIP,
            height=HEIGHT,
            near=0.004,
            far=0.020,
        )
