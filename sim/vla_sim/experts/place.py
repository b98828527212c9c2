"""Expert of the place task: grasp, carry over the container, lower, let go, rise."""

from __future__ import annotations

import numpy as np

from vla_sim.experts.carry import FINGERTIP, Destination, carry, leave
from vla_sim.experts.hand import Hand
from vla_sim.experts.motion import Waypoint
from vla_sim.experts.pick import grasp_object
from vla_sim.scene.fixtures.containers import CONTAINER_FLOOR, CONTAINER_WALL
from vla_sim.tasks import Aim
from vla_sim.truth import Truth


class PlacePlan:
    """Everything is decided from where object and gripper are."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        assert aim.goal is not None
        if not hand.closed and truth.over(aim.target, aim.goal):
            return leave(truth, hand)
        waypoint = grasp_object(truth, aim.target, hand)
        if waypoint is not None:
            return waypoint
        return carry(truth, aim.target, self._destination(truth, aim.goal))

    def _destination(self, truth: Truth, goal: str) -> Destination:
        """In the middle of the container, the fingers above its wall."""
        x, y, _ = truth.position(goal)
        return Destination(
            point=np.array([x, y, CONTAINER_FLOOR + 0.006]),
            yaw=float(np.arctan2(y, x)),
            lowest=CONTAINER_WALL + FINGERTIP + 0.006,
        )
