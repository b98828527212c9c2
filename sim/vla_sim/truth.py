"""What the simulator knows and a policy must not see: for judging, experts and auxiliary losses."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_sim.events import Events
from vla_sim.scene.fixtures.containers import CONTAINER_INNER, CONTAINER_WALL
from vla_sim.scene.items import Item
from vla_sim.scene.layout import Layout
from vla_sim.scene.world import ARM_JOINTS, World


class Truth:
    """A live view of the world's state. All poses are in ``base_link``.

    Args:
        world: the model with its handles.
        data: the state; read at each call, never written.
        layout: the scene as drawn.
        events: what has happened since the reset.
    """

    def __init__(self, world: World, data: mujoco.MjData, layout: Layout, events: Events) -> None:
        self._world, self._data, self.layout, self.events = world, data, layout, events
        self._site = world.model.site("eef_link").id
        self._ghost = world.ghost
        self._arm = [int(world.model.joint(name).qposadr[0]) for name in ARM_JOINTS]
        self._servos = [world.model.actuator(name).id for name in ARM_JOINTS]
        self._gripper = world.model.actuator("gripper").id
        self._fingers = [
            int(world.model.joint(name).qposadr[0]) for name in ("finger_left", "finger_right")
        ]

    @property
    def time(self) -> float:
        """Time since the reset [s]."""
        return float(self._data.time)

    def gripper_position(self) -> NDArray[np.float64]:
        """Position of the tool point. Shape (3,) [m]."""
        return self._data.site_xpos[self._site].copy()

    def gripper_pose(self) -> NDArray[np.float64]:
        """Position [m] and rotation vector [rad] of the tool point. Shape (6,)."""
        matrix = self._data.site_xmat[self._site].reshape(3, 3)
        rotation = Rotation.from_matrix(matrix).as_rotvec()
        return np.concatenate([self._data.site_xpos[self._site], rotation])

    def commanded_pose(self) -> NDArray[np.float64]:
        """Pose of the tool point that the joint targets ask for. Shape (6,), see above."""
        model, data = self._world.model, self._ghost
        data.qpos[self._arm] = self._data.ctrl[self._servos]
        mujoco.mj_kinematics(model, data)
        matrix = data.site_xmat[self._site].reshape(3, 3)
        return np.concatenate(
            [data.site_xpos[self._site], Rotation.from_matrix(matrix).as_rotvec()]
        )

    def commanded_opening(self) -> float:
        """Gripper opening that was last asked for [m]."""
        return float(self._data.ctrl[self._gripper])

    def gripper_opening(self) -> float:
        """Distance between the finger pads [m]."""
        return float(self._data.qpos[self._fingers].sum())

    def item(self, name: str) -> Item:
        """The object called ``name``, as drawn at the reset.

        Raises:
            SimulationError: nothing in the scene is called so.
        """
        return self.layout.item(name)

    def position(self, name: str) -> NDArray[np.float64]:
        """Where a thing is now. Shape (3,) [m].

        The centre of an object; of a fixture the point that one points at: the middle of a
        container's floor or of a zone, a button's top, a drawer's knob, the rim of a socket.

        Raises:
            SimulationError: nothing in the scene is called so.
        """
        if any(name == item.name for item in self.layout.items):
            return self._data.xpos[self._body(name)].copy()
        slot = self._world.fixtures.slot(self.layout.fixture(name).name)
        return self._data.site(slot).xpos.copy()

    def travel(self, name: str) -> float:
        """How far a button is pressed or a drawer open [m]."""
        return self._world.fixtures.travel(self._data, name)

    def rotation(self, name: str) -> Rotation:
        """How the object is turned now."""
        return Rotation.from_quat(self._data.xquat[self._body(name)], scalar_first=True)

    def speed(self, name: str) -> float:
        """Speed of the object's centre [m/s]."""
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(
            self._world.model, self._data, mujoco.mjtObj.mjOBJ_BODY, self._body(name), velocity, 0
        )
        return float(np.linalg.norm(velocity[3:]))

    def top(self, name: str) -> NDArray[np.float64]:
        """The middle of the object's top as it lies now. Shape (3,) [m]."""
        item, up = self.item(name), self.rotation(name).as_matrix()[2]
        half = np.array(item.size) / 2
        if item.kind == "cylinder":  # round, however it has rolled
            up = np.array([np.hypot(up[0], up[1]), 0.0, up[2]])
        reach = np.abs(up) @ half
        return self.position(name) + np.array([0.0, 0.0, float(reach)])

    def foot(self, name: str) -> NDArray[np.float64]:
        """The middle of the end of the object's own z axis that is lower now. Shape (3,) [m]."""
        axis = self.rotation(name).as_matrix()[:, 2]
        return self.position(name) - np.copysign(self.item(name).height / 2, axis[2]) * axis

    def touched(self, name: str) -> bool:
        """Whether anything but the table, containers or other objects touches the object."""
        count = self._data.ncon
        if count == 0:
            return False
        geom = self._world.geom(self._slot(name))
        pairs = self._data.contact.geom[:count]
        others = pairs[(pairs == geom).any(axis=1)].ravel()
        return bool(np.isin(others, self._world.arm_geoms).any())

    def over(self, name: str, kind: str) -> bool:
        """Whether the object's centre is between the container's walls, at whatever height."""
        container = self.layout.fixture(kind)
        offset = self.position(name)[:2] - (container.x, container.y)
        if kind == "box":
            turn = Rotation.from_euler("z", -container.yaw)
            return float(np.abs(turn.apply([*offset, 0.0])).max()) < CONTAINER_INNER
        return float(np.linalg.norm(offset)) < CONTAINER_INNER

    def inside(self, name: str, kind: str) -> bool:
        """Whether the object is between the container's walls and not above them."""
        highest = CONTAINER_WALL + max(self.item(name).size) / 2
        return self.over(name, kind) and self.position(name)[2] < highest

    def _slot(self, name: str) -> int:
        return self.layout.items.index(self.item(name))

    def _body(self, name: str) -> int:
        return self._world.body(self._slot(name))
