"""Expert of the press-then-pick task: first the button, then the object."""

from __future__ import annotations

from vla_sim.experts.hand import Hand
from vla_sim.experts.motion import Waypoint
from vla_sim.experts.pick import PickPlan
from vla_sim.experts.press import press_button
from vla_sim.tasks import Aim
from vla_sim.truth import Truth


class PressThenPickPlan:
    """The button's light says which of the two is due."""

    def __init__(self) -> None:
        self._pick = PickPlan()

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now."""
        assert aim.goal is not None
        return press_button(truth, aim.goal) or self._pick.waypoint(truth, aim, hand)
