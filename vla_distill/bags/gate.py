"""What the arm's safety gate would say to the targets of a policy that never moved it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_arm.controller import EndEffectorController
from vla_arm.joint_table import HOME, X5
from vla_arm.kinematics import InverseKinematics
from vla_arm.limits import ArmLimits
from vla_distill.bags.content import Bag
from vla_distill.bags.step import AskedChunk


class GateJudge:
    """Judges the targets that would be played, each as one step from the recorded state.

    Args:
        bag: its states say where the arm was when a chunk was asked for.
    """

    def __init__(self, bag: Bag) -> None:
        self._states = {(e.segment, e.stamp): e.value.commanded for e in bag.states}
        self._ik = InverseKinematics(X5)
        self._controllers: dict[float, EndEffectorController] = {}  # by the time between targets

    def __call__(self, asked: Sequence[AskedChunk], segment: int, steps: int) -> Counter[str]:
        """Count targets, those that are limited, and those that are refused, by reason."""
        counts: Counter[str] = Counter()
        joints: NDArray[np.float64] = np.array(HOME)
        for each in asked:
            start = self._states.get((segment, each.asked))
            if start is None:
                continue
            joints = self._ik.solve(start[:6], joints).q
            chunk = each.chunk
            controller = self._controller(chunk.step_dt)
            controller.reset(joints, float(start[6]))
            for target in chunk.targets[:steps].astype(np.float64):
                command = controller.command(target, each.asked, each.asked)
                counts["targets"] += 1
                counts["limited"] += command.limited
                if not command.accepted:
                    counts[command.reason.name.lower()] += 1
        return counts

    def _controller(self, step_dt: float) -> EndEffectorController:
        if step_dt not in self._controllers:  # its models are built once: that takes 10 ms
            controller = EndEffectorController(X5, ArmLimits(), step_dt)
            self._controllers[step_dt] = controller
        return self._controllers[step_dt]
