"""Why an episode failed, in one or two words, from what the simulator knows."""

from __future__ import annotations

import numpy as np

from vla_sim.scene.layout import Layout
from vla_sim.simulation import Episode, Simulation
from vla_sim.tasks import Aim, get_task
from vla_sim.truth import Truth

WRONG_OBJECT, WRONG_GOAL = "wrong object", "wrong goal"
NEVER_TOUCHED, DROPPED, NOT_HELD, TIMED_OUT = "never touched", "dropped", "not held", "timed out"
REFUSED, TOPPLED, WRONG_ORDER = "refused", "toppled", "wrong order"

NEAR = 0.04
"""A gripper this near to an object's top has come to it [m]."""
LYING = 0.7
"""A tall object whose axis has a vertical part smaller than this has fallen over."""


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
        self._goals = self._other_goals(layout)
        self._buttons = layout.of_kind("button")
        self._seen: set[str] = set()
        self._in_hand = self._lies = False

    def see(self) -> None:
        """Look at the world as it is now; called at every camera image."""
        truth, aim = self._simulation.privileged(), self._episode.aim
        if self._judge.satisfied(truth, aim):
            self._seen.add(NOT_HELD)
        if any(self._judge.satisfied(truth, Aim(name, aim.goal)) for name in self._others):
            self._seen.add(WRONG_OBJECT)
        if aim.goal is not None and any(
            self._judge.satisfied(truth, Aim(aim.target, kind)) for kind in self._goals
        ):
            self._seen.add(WRONG_GOAL)
        if self._objects.issuperset(aim.names) and self._turned_round(truth, aim):
            self._seen.add(WRONG_ORDER)
        is_object = aim.target in self._objects
        pressed = truth.events.pressed
        if any(name not in aim.names for name in pressed):
            self._seen.add(WRONG_GOAL if is_object else WRONG_OBJECT)
        waits = aim.goal in self._buttons and aim.goal not in pressed
        if waits and aim.target in truth.events.lifted:
            self._seen.add(WRONG_ORDER)
        point = truth.top(aim.target) if is_object else truth.position(aim.target)
        held = is_object and truth.touched(aim.target)
        if held or np.linalg.norm(truth.gripper_position() - point) < NEAR:
            self._seen.add("touched")
        self._in_hand = held and aim.target in truth.events.lifted
        self._lies = is_object and not held and _has_fallen(truth, aim.target)
        if self._in_hand:
            self._seen.add(DROPPED)

    def cause(self) -> str:
        """The first of the causes that fits, for an episode that has failed."""
        for wrong in (WRONG_OBJECT, WRONG_GOAL, WRONG_ORDER):
            if wrong in self._seen:
                return wrong
        if "touched" not in self._seen:
            return NEVER_TOUCHED
        if DROPPED in self._seen and not self._in_hand:
            return DROPPED
        if self._lies:
            return TOPPLED
        return NOT_HELD if NOT_HELD in self._seen else TIMED_OUT

    def _other_goals(self, layout: Layout) -> set[str]:
        """What the task could have named besides, and all that is of the goal's kind."""
        aim = self._episode.aim
        if aim.goal is None:
            return set()
        kind = aim.goal.split()[-1]
        return {*self._judge.goals(layout), *layout.of_kind(kind)} - set(aim.names)

    def _turned_round(self, truth: Truth, aim: Aim) -> bool:
        """Whether goal and target have changed places."""
        return aim.goal is not None and self._judge.satisfied(truth, Aim(aim.goal, aim.target))


def _has_fallen(truth: Truth, name: str) -> bool:
    """Whether an object that stood taller than wide lies on its side."""
    item = truth.item(name)
    upright = abs(float(truth.rotation(name).as_matrix()[2, 2]))
    return item.height > item.size[0] and upright < LYING
