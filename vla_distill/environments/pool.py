"""Environments that are kept from wave to wave, because making one costs more than a reset."""

from __future__ import annotations

from vla_distill.environments.description import load_description
from vla_distill.environments.gymnasium_arm import GymnasiumArm
from vla_distill.environments.protocol import ControlledEnvironment
from vla_distill.environments.simulated import SimulatedArm
from vla_policy.contract import Policy
from vla_policy.robot import ARM, see_robot


class EnvironmentPool:
    """Makes environments with a policy's cameras.

    Args:
        policy: the policy.
        env: a Gymnasium environment, as in ``vla eval --env``; empty for our own simulator.

    Raises:
        AdapterError: there is no such environment, or it lacks one of the cameras.
        PolicyError: the policy is another robot's.
    """

    def __init__(self, policy: Policy, env: str = "") -> None:
        self._size, self._cameras = policy.image_size, tuple(policy.cameras)
        self._description = load_description(env) if env else None
        see_robot(policy, self._description.robot if self._description else ARM)
        self._environments: list[ControlledEnvironment] = []

    def take(self, count: int) -> list[ControlledEnvironment]:
        """The first ``count`` environments, made as needed."""
        while len(self._environments) < count:
            self._environments.append(self._make())
        return self._environments[:count]

    def _make(self) -> ControlledEnvironment:
        if self._description is None:
            return SimulatedArm(self._size, self._cameras)
        return GymnasiumArm(self._description, self._size, self._cameras)

    def close(self) -> None:
        """Free the renderers, while the graphics library is still there."""
        for environment in self._environments:
            environment.close()
        self._environments.clear()
