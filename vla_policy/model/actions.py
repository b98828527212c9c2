"""Between poses and what the network reads and writes.

The network predicts poses relative to the observed one, with a 6-D rotation (arXiv 1812.07035)
inside. Offset: in base axes, target minus observed [m]. Rotation: observed^T target, its first two
columns. Gripper: opening [m]. Actions are standardised for each step of the chunk by itself, so
that the first steps, which are the ones executed, weigh as much as the far ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_policy.errors import PolicyError

ACTION_SIZE = 10
STATE_FEATURES = 11
_STD_FLOOR = np.array([0.002] * 3 + [0.01] * 6 + [0.005])

Array = NDArray[np.floating[Any]]


def state_features(state: Array) -> Array:
    """Position, 6-D rotation, gripper measured and commanded. Shape (B, 8) -> (B, 11)."""
    rotation = Rotation.from_rotvec(state[:, 3:6]).as_matrix()
    return np.concatenate([state[:, :3], _six(rotation), state[:, 6:8]], axis=1)


def relative_actions(state: Array, targets: Array) -> Array:
    """Absolute targets as the network sees them.

    Args:
        state: observed states. Shape (B, 8).
        targets: absolute pose [m, rad] and gripper [m]. Shape (B, T, 7).

    Returns:
        Shape (B, T, 10), not standardised.
    """
    batch, horizon = targets.shape[:2]
    anchor = Rotation.from_rotvec(state[:, 3:6]).as_matrix()[:, None]
    rotation = Rotation.from_rotvec(targets[..., 3:6].reshape(-1, 3)).as_matrix()
    relative = anchor.transpose(0, 1, 3, 2) @ rotation.reshape(batch, horizon, 3, 3)
    offset = targets[..., :3] - state[:, None, :3]
    return np.concatenate([offset, _six(relative), targets[..., 6:]], axis=2)


def absolute_targets(state: Array, actions: Array) -> NDArray[np.float32]:
    """The inverse of :func:`relative_actions`: (B, 8) and (B, T, 10) -> (B, T, 7)."""
    batch, horizon = actions.shape[:2]
    anchor = Rotation.from_rotvec(state[:, 3:6]).as_matrix()[:, None]
    rotation = (anchor @ _from_six(actions[..., 3:9])).reshape(-1, 3, 3)
    rotvec = Rotation.from_matrix(rotation).as_rotvec().reshape(batch, horizon, 3)
    position = actions[..., :3] + state[:, None, :3]
    return np.concatenate([position, rotvec, actions[..., 9:]], axis=2).astype(np.float32)


def _six(rotation: Array) -> Array:
    return np.concatenate([rotation[..., 0], rotation[..., 1]], axis=-1)


def _from_six(six: Array) -> Array:
    first = six[..., :3] / np.maximum(np.linalg.norm(six[..., :3], axis=-1, keepdims=True), 1e-8)
    second = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdims=True) * first
    second = second / np.maximum(np.linalg.norm(second, axis=-1, keepdims=True), 1e-8)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


_NUMBERS = ("action_mean", "action_std", "state_mean", "state_std")


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of what the network reads and writes.

    Attributes:
        action_mean, action_std: for each step of the chunk. Shape (T, 10).
        state_mean, state_std: Shape (11,).
        robot: what the data were of, an arm or an environment; empty if that is not known.
    """

    action_mean: Array
    action_std: Array
    state_mean: Array
    state_std: Array
    robot: str = ""

    @classmethod
    def identity(cls, horizon: int) -> Statistics:
        """Statistics that change nothing; for untrained networks."""
        shape = (horizon, ACTION_SIZE)
        return cls(
            np.zeros(shape), np.ones(shape), np.zeros(STATE_FEATURES), np.ones(STATE_FEATURES)
        )

    @classmethod
    def measure(cls, states: Array, targets: Array) -> Statistics:
        """Measure on states (N, 8) and their chunks (N, T, 7)."""
        actions = relative_actions(states, targets)
        features = state_features(states)
        return cls(
            actions.mean(0),
            np.maximum(actions.std(0), _STD_FLOOR),
            features.mean(0),
            np.maximum(features.std(0), 1e-2),
        )

    def read_state(self, state: Array) -> NDArray[np.float32]:
        """States (B, 8) to standardised features (B, 11)."""
        return ((state_features(state) - self.state_mean) / self.state_std).astype(np.float32)

    def read_actions(self, state: Array, targets: Array) -> NDArray[np.float32]:
        """Targets (B, T, 7) to standardised relative actions (B, T, 10)."""
        relative = relative_actions(state, targets)
        return ((relative - self.action_mean) / self.action_std).astype(np.float32)

    def write_targets(self, state: Array, actions: Array) -> NDArray[np.float32]:
        """Standardised relative actions (B, T, 10) to absolute targets (B, T, 7)."""
        return absolute_targets(state, actions * self.action_std + self.action_mean)

    def to_dict(self) -> dict[str, Any]:
        """As nested lists, for statistics.json."""
        return {name: getattr(self, name).tolist() for name in _NUMBERS} | {"robot": self.robot}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Statistics:
        """Read what :meth:`to_dict` wrote.

        Raises:
            PolicyError: a field is missing or unknown.
        """
        if set(values) - {"robot"} != set(_NUMBERS):
            raise PolicyError("statistics", got=sorted(values), expected=sorted(_NUMBERS))
        numbers = {name: np.asarray(values[name], dtype=np.float64) for name in _NUMBERS}
        return cls(**numbers, robot=str(values.get("robot", "")))
