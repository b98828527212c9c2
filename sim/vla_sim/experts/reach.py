"""Expert of the reach task: open fingers around the object's top."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from vla_sim.experts.approach import approach
from vla_sim.experts.hand import Hand
from vla_sim.experts.motion import Waypoint
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

HEIGHT: Final = 0.010
"""Height of the tool point over the object's top at the end [m]."""


class ReachPlan:
    """Goes down its funnel and stays."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        waypoint, grasp = approach(truth, aim.target, HEIGHT)
        error = truth.gripper_position() - (*grasp.position[:2], grasp.top + HEIGHT)
        near = float(np.linalg.norm(error)) < 0.01
        return replace(waypoint, phase="hold") if near else waypoint
