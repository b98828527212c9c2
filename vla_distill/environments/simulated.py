"""Our own simulator as a controlled environment: what arm_node and sim_node do, in one process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_distill.environments.protocol import Act, Scene, Status
from vla_distill.evaluation.cause import Witness
from vla_distill.evaluation.episode import EpisodeSpec
from vla_sim.constants import CONTROL_DT
from vla_sim.gated_arm import GatedArm
from vla_sim.simulation import Simulation


class SimulatedArm:
    """The robot's inverse kinematics and safety gate on a simulated arm.

    Args:
        image_size: side of the images [px].
        cameras: names of the cameras.

    Attributes:
        simulation: the world.
    """

    control_dt = CONTROL_DT

    def __init__(self, image_size: int, cameras: Sequence[str]) -> None:
        self.simulation = Simulation(image_size, tuple(cameras))
        self._arm = GatedArm(self.simulation)

    @property
    def cameras(self) -> Sequence[str]:
        """Names of the policy's cameras."""
        return self.simulation.cameras

    def reset(self, spec: EpisodeSpec) -> Scene:
        """Draw the scene; the controller begins anew at the arm's pose."""
        episode = self.simulation.reset(
            spec.task, spec.seed, instructions=spec.instructions, swap=spec.swap
        )
        self._arm.begin()
        self._witness = Witness(self.simulation, episode)
        return Scene(episode.instruction, episode.target, episode.time_limit)

    def sense(self) -> float:
        """The time [s]: joints do not change until :meth:`act`."""
        return self.simulation.time

    def state(self) -> NDArray[np.float32]:
        """Measured pose, gripper measured and commanded. Shape (8,) [m, rad]."""
        return self._arm.state().astype(np.float32)

    def commanded(self) -> NDArray[np.float64]:
        """The pose that was last commanded. Shape (7,)."""
        return self._arm.commanded()

    def render(self, camera: str) -> NDArray[np.uint8]:
        """What the policy sees. Shape (S, S, 3), RGB."""
        return self.simulation.render(camera)

    def overview(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """What the front camera sees, whether the policy has it or not."""
        return self.simulation.render("front", size=size)

    def look(self) -> None:
        """Remember what happens to the objects."""
        self._witness.see()

    def act(self, target: NDArray[np.float64] | None, stamp: float | None) -> Act:
        """Command a pose through inverse kinematics and gate, and step the world."""
        command = self._arm.act(target, self.simulation.time, stamp)
        return Act(command.accepted, command.limited)

    def status(self) -> Status:
        """What the task's judge says."""
        status = self.simulation.status()
        return Status(status.success, status.progress)

    def cause(self) -> str:
        """See :mod:`vla_distill.evaluation.cause`."""
        return self._witness.cause()

    def close(self) -> None:
        """Free the renderers."""
        self.simulation.close()
