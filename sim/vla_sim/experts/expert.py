"""The scripted expert: looks at the simulator's state, and says where the gripper shall go next."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vla_sim.errors import SimulationError
from vla_sim.experts.catch import CatchPlan
from vla_sim.experts.hand import Hand
from vla_sim.experts.insert import InsertPlan
from vla_sim.experts.motion import Motion, Pace, Waypoint
from vla_sim.experts.open import OpenPlan
from vla_sim.experts.pick import PickPlan
from vla_sim.experts.place import PlacePlan
from vla_sim.experts.press import PressPlan
from vla_sim.experts.press_then_pick import PressThenPickPlan
from vla_sim.experts.push import PushPlan
from vla_sim.experts.reach import ReachPlan
from vla_sim.experts.stack import StackPlan
from vla_sim.simulation import Simulation
from vla_sim.tasks import Aim
from vla_sim.truth import Truth

FINAL_STEPS: Final = 14
"""Steps that the expert keeps still at the end, so that demonstrations show the hold."""


class Plan(Protocol):
    """Decides the next waypoint from the state alone, so that it recovers from any disturbance."""

    def waypoint(self, truth: Truth, aim: Aim, hand: Hand) -> Waypoint:
        """Where to go now; the phase ``hold`` means that all is done."""
        ...


PLANS: Final[dict[str, type[Plan]]] = {
    "reach": ReachPlan,
    "pick": PickPlan,
    "place": PlacePlan,
    "push": PushPlan,
    "stack": StackPlan,
    "open": OpenPlan,
    "press": PressPlan,
    "catch": CatchPlan,
    "insert": InsertPlan,
    "press_then_pick": PressThenPickPlan,
}


class Expert:
    """Solves the running episode of a simulation.

    Args:
        simulation: freshly reset.
        rng: draws the pace.
        noise: relative spread of the pace, 0 for always the same.
        aim: what to go for; by default what the instruction names.

    Attributes:
        phase: what it is doing, in one word.

    Raises:
        SimulationError: no expert for the task.
    """

    def __init__(
        self,
        simulation: Simulation,
        rng: Generator,
        noise: float = 0.0,
        aim: Aim | None = None,
    ) -> None:
        episode = simulation.episode
        if episode.task not in PLANS:
            raise SimulationError("expert", got=episode.task, expected=sorted(PLANS))
        factor = 1.0 + noise * float(rng.uniform(-1.0, 1.0))
        base = Pace()
        pace = Pace(speed=base.speed * factor, slow_speed=base.slow_speed * factor)
        self._truth = simulation.privileged()
        self._aim = aim or episode.aim
        self._plan = PLANS[episode.task]()
        self._motion, self._hand = Motion(pace), Hand()
        self._final_steps = 0
        self.phase = ""

    @property
    def done(self) -> bool:
        """Whether it has held the final pose long enough."""
        return self._final_steps >= FINAL_STEPS

    def act(self) -> NDArray[np.float64]:
        """Commanded position [m], rotation vector [rad], opening [m] one step from now, (7,).

        To be called once a step (0.1 s).
        """
        pose = self._truth.commanded_pose()
        self._hand.look(self._truth)
        waypoint = self._plan.waypoint(self._truth, self._aim, self._hand)
        self.phase = waypoint.phase
        settled = np.linalg.norm(waypoint.position - self._truth.gripper_position()) < 0.01
        still = waypoint.phase == "hold" and settled
        self._final_steps = self._final_steps + 1 if still else 0
        self._hand.command(waypoint.opening)
        return self._motion.advance(pose, waypoint)
