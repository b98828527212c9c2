"""Why an episode failed, in one or two words, from what the simulator knows."""

from __future__ import annotations

import numpy as np

from vla_sim.simulation import Episode, Simulation
from vla_sim.tasks import Aim, get_task

WRONG_OBJECT, WRONG_CONTAINER = "wrong object", "wrong container"
NEVER_TOUCHED, DROPPED, NOT_HELD, TIMED_OUT = "never touched", "dropped", "not held", "timed out"
REFUSED = "refused"

LIFTED = 0.02
"""An object this far above its place on the table has been lifted [m]."""
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
        self._others = [name for name in episode.objects if name != episode.target]
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
            for kind in CONTAINERS
            if kind != aim.goal
        ):
            self._seen.add(WRONG_CONTAINER)
        came = truth.gripper_position() - truth.top(aim.target)
        if truth.touched(aim.target) or np.linalg.norm(came) < NEAR:
            self._seen.add("touched")
        height = truth.position(aim.target)[2] - truth.item(aim.target).height / 2
        self._in_hand = bool(truth.touched(aim.target) and height > LIFTED)
        if self._in_hand:
            self._seen.add(DROPPED)

    def cause(self) -> str:
        """The first of the causes that fits, for an episode that has failed."""
        if WRONG_OBJECT in self._seen:
            return WRONG_OBJECT
        if WRONG_CONTAINER in self._seen:
            return WRONG_CONTAINER
        if "touched" not in self._seen:
            return NEVER_TOUCHED
        if DROPPED in self._seen and not self._in_hand:
            return DROPPED
        return NOT_HELD if NOT_HELD in self._seen else TIMED_OUT
