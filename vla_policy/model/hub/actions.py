"""Actions of released checkpoints: changes of pose from one step to the next, accumulated.

The seven numbers are those of Open X-Embodiment (arXiv 2310.08864): translation [m], rotation as
roll, pitch, yaw [rad], gripper 1 open and 0 closed. We take both changes in the axes of the base:
the rotation is applied from the left. Data sets differ in that, and a policy does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_policy.errors import PolicyError
from vla_policy.model.actions import Array

ACTION_SIZE = 7
GRIPPER = 6
OPEN_FROM = 0.5
"""Value from which on CogACT's gripper is open."""


@dataclass(frozen=True)
class DeltaActions:
    """Stands where :class:`vla_policy.model.actions.Statistics` stands for our own networks.

    Attributes:
        low, high: what -1 and 1 mean, the data's 1 % and 99 % quantiles. Shape (7,).
        scaled: which numbers are standardised. Shape (7,), bool.
        opening: of the gripper at 1 [m].
        decided: whether actions are clipped and the gripper is either open or closed (CogACT).
    """

    low: Array
    high: Array
    scaled: NDArray[np.bool_]
    opening: float
    decided: bool

    @classmethod
    def of_data(
        cls, statistics: Mapping[str, Any], data: str | None, opening: float, decided: bool
    ) -> DeltaActions:
        """Those of one data set.

        Args:
            statistics: by data set, as released.
            data: its name; may be None if there is only one.
            opening, decided: see above.

        Raises:
            PolicyError: none or several to choose from, none of that name, or not seven numbers.
        """
        name = data or (next(iter(statistics)) if len(statistics) == 1 else "")
        if name not in statistics:
            raise PolicyError("data set of the actions", got=data, expected=f"{sorted(statistics)}")
        action = statistics[name].get("action", {})
        rows = [np.asarray(action.get(key, ()), dtype=np.float64) for key in ("q01", "q99")]
        scaled = np.asarray(action.get("mask", [True] * len(rows[0])), dtype=bool)
        shapes = {each.shape for each in (*rows, scaled)}
        if shapes != {(ACTION_SIZE,)}:
            raise PolicyError(f"statistics of {name}: q01, q99, mask", got=shapes, expected="(7,)")
        return cls(rows[0], rows[1], scaled, opening, decided)

    def read_state(self, state: Array) -> NDArray[np.float32]:
        """These policies do not look at the state. Shape (B, 0)."""
        return np.zeros((len(state), 0), np.float32)

    def deltas(self, actions: Array) -> Array:
        """Standardised actions (B, T, 7) to metres, radians and gripper."""
        if self.decided:
            actions = np.clip(actions, -1.0, 1.0)
            gripper = np.where(actions[..., GRIPPER:] < OPEN_FROM, 0.0, 1.0)
            actions = np.concatenate([actions[..., :GRIPPER], gripper], axis=-1)
        spread = 0.5 * (actions + 1.0) * (self.high - self.low) + self.low
        return np.where(self.scaled, spread, actions)

    def write_targets(self, state: Array, actions: Array) -> NDArray[np.float32]:
        """Standardised actions (B, T, 7) from states (B, 8) to absolute targets (B, T, 7)."""
        deltas = self.deltas(actions)
        targets = np.empty(deltas.shape, np.float32)
        targets[..., :3] = state[:, None, :3] + deltas[..., :3].cumsum(axis=1)
        targets[..., 6] = np.clip(deltas[..., GRIPPER], 0.0, 1.0) * self.opening
        rotation = Rotation.from_rotvec(state[:, 3:6])
        for step in range(deltas.shape[1]):
            rotation = Rotation.from_euler("xyz", deltas[:, step, 3:6]) * rotation
            targets[:, step, 3:6] = rotation.as_rotvec()
        return targets
