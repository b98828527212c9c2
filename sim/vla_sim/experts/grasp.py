"""Where and how to take hold of an object as it lies now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_sim.experts.motion import wrapped
from vla_sim.truth import Truth

WIDEST = 0.065
"""Widest extent that the open fingers take between them with room to spare [m]."""
MOST_TURN = np.radians(105.0)
"""Largest yaw from the direction to the base that the last joint reaches [rad]."""
LOWEST = 0.014
"""Lowest tool point, so that the fingertips stay off the table [m]."""


@dataclass(frozen=True)
class Grasp:
    """A grasp from above.

    Attributes:
        position: of the tool point. Shape (3,) [m].
        yaw: of the gripper [rad].
        top: height of the object's top [m].
        width: between the fingers [m].
    """

    position: NDArray[np.float64]
    yaw: float
    top: float
    width: float


def find_grasp(truth: Truth, name: str, current_yaw: float) -> Grasp:
    """The grasp whose yaw is nearest to the present one, among those that look the same.

    Args:
        truth: the world.
        name: the object.
        current_yaw: of the gripper [rad].
    """
    item, centre, top = truth.item(name), truth.position(name), truth.top(name)
    axes = truth.rotation(name).as_matrix().T
    upright = int(np.argmax(np.abs(axes[:, 2])))
    azimuth = float(np.arctan2(centre[1], centre[0]))
    if item.kind == "cylinder" and upright == 2:
        yaws = [(azimuth, item.size[0])]
    else:
        flat = [axis for axis in range(3) if axis != upright]
        narrowest = min(item.size[axis] for axis in flat)
        yaws = []
        for axis in flat:
            if item.size[axis] > max(WIDEST, narrowest) or item.size[axis] > narrowest + 0.01:
                continue
            yaw = float(np.arctan2(-axes[axis, 0], axes[axis, 1]))
            for turned in (yaw, yaw + np.pi):
                yaws.append((wrapped(turned), item.size[axis]))
    reachable = [each for each in yaws if abs(wrapped(each[0] - azimuth)) <= MOST_TURN]
    yaw, width = min(reachable or yaws, key=lambda each: abs(wrapped(each[0] - current_yaw)))
    # Not above the middle of low objects, and low enough on tall ones that a release is low.
    height = max(LOWEST, centre[2] - 0.002, top[2] - 0.026)
    return Grasp(np.array([centre[0], centre[1], height]), yaw, float(top[2]), width)
