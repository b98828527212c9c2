"""Makes the tasks known to ``gymnasium.make``: ``vla_sim/Reach-v0`` and its like."""

from __future__ import annotations

import gymnasium

from vla_sim.tasks import TASKS


def register_environments() -> None:
    """Register one environment a task; doing it again changes nothing."""
    for task in TASKS:
        name = f"vla_sim/{task.capitalize()}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(
                name, entry_point="vla_sim.environment:TaskEnvironment", kwargs={"task": task}
            )
