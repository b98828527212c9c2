"""Why an episode failed, in one or two words, from what the simulator knows."""

from __future__ import annotations

import numpy as np

from vla_sim.simulation import Episode, Simulation
from vla_sim.tasks import Aim, get_task

WRONG_OBJECT, WRONG_GOAL = "wrong object", "wrong goal"
NEVER_TOUCHED, DROPPED, NOT_HELD, TIMED_OUT = "never touched", "dropped", "not held", "timed out"
REFUSED = "refused"

NEAR = 0.04
"""A gripper this near to an object's top has come to it [m]."""


class Witness:
    """Remembers what happened to the objects of an episode.

    Args:
        simulation: the world, reset to the episode.
        episode: the episode.
    """

    def __init__(self, simulation: Simulation, episode: Episode) -> None:
        self._simulation, self._episode = simulation, episode
        self._judge = get_task(episode.task)
        layout = simulation.privileged().layout
        self._others = [n for n in self._judge.targets(layout) if n not in episode.aim.names]
        self._objects = {item.name for item in layout.items}
        self._seen: set[str] = set()
        self._in_hand = False

    def see(self) -> None:
        """Look at the world as it is now; called at every camera image."""
        truth, aim = self._simulation.privileged(), self._episode.aim
        if self._judge.satisfied(truth, aim):
            self._seen.add(NOT_HELD)
        if any(self._judge.satisfied(truth, Aim(name, aim.goal)) for name in self._others):
            self._seen.add(WRONG_OBJECT)
        if aim.goal is not None and any(
            self._judge.satisfied(truth, Aim(aim.target, kind))
            for kind in self._judge.goals(truth.layout)
            if kind not in (aim.goal, aim.target)
        ):
            self._seen.add(WRONG_GOAL)
        is_object = aim.target in self._objects
        point = truth.top(aim.target) if is_object else truth.position(aim.target)
        held = is_object and truth.touched(aim.target)
        if held or np.linalg.norm(truth.gripper_position() - point) < NEAR:
            self._seen.add("touched")
        self._in_hand = held and aim.target in truth.events.lifted
        if self._in_hand:
            self._seen.add(DROPPED)

    def cause(self) -> str:
        """The first of the causes that fits, for an episode that has failed."""
        if WRONG_OBJECT in self._seen:
            return WRONG_OBJECT
        if WRONG_GOAL in self._seen:
            return WRONG_GOAL
        if "touched" not in self._seen:
            return NEVER_TOUCHED
        if DROPPED in self._seen and not self._in_hand:
            return DROPPED
        return NOT_HELD if NOT_HELD in self._seen else TIMED_OUT
