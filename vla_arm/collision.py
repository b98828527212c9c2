"""Whether the arm, at some joint angles, would touch itself or the table."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from vla_arm.joint_table import ArmModel
from vla_arm.kinematics import checked_joints
from vla_arm.mjcf import arm_spec

_TABLE = "table"


class CollisionModel:
    """The arm's own geometry over a table plane.

    Args:
        arm: the arm.
        table_z: height of the table [m].
        table_margin: how deep shapes may be in the table [m].
    """

    def __init__(self, arm: ArmModel, table_z: float, table_margin: float) -> None:
        spec = arm_spec(arm)
        # The base stands on the table: a plane is static as it is, and static geoms do not collide.
        spec.worldbody.add_geom(
            name=_TABLE,
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            pos=(0.0, 0.0, table_z - table_margin),
            size=(0.0, 0.0, 1.0),
        )
        self._model: mujoco.MjModel = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._table = self._model.geom(_TABLE).id
        self._fingers = [
            int(self._model.joint(name).qposadr[0]) for name in ("finger_left", "finger_right")
        ]

    def depths(self, q: ArrayLike, gripper: float) -> tuple[float, float]:
        """Look for contacts.

        Args:
            q: joint angles. Shape (6,) [rad].
            gripper: opening [m].

        Returns:
            How deep the arm is in the table, and how deep in itself; 0 without contact [m].

        Raises:
            ArmError: ``q`` has another shape.
        """
        self._data.qpos[:6] = checked_joints(q)
        self._data.qpos[self._fingers] = gripper / 2
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        if self._data.ncon == 0:
            return 0.0, 0.0
        contacts = self._data.contact
        depth = np.maximum(-contacts.dist, 0.0)
        table = (contacts.geom == self._table).any(axis=1)
        return float(depth[table].max(initial=0.0)), float(depth[~table].max(initial=0.0))
