"""The MuJoCo model of a scene: compiled once, then given each new layout in place."""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import ArmModel
from vla_arm.mjcf import arm_spec
from vla_sim.constants import PHYSICS_DT
from vla_sim.scene.cameras import FrontCamera, displaced
from vla_sim.scene.items import (
    CONTAINER_FLOOR,
    CONTAINER_INNER,
    CONTAINER_WALL,
    CONTAINERS,
    Item,
)
from vla_sim.scene.layout import Layout, LayoutLimits

ARM_JOINTS = tuple(f"joint{index}" for index in range(1, 7))
"""Names of the arm's joints, and of their servos."""
TABLE_HALF = (0.75, 0.85, 0.02)
"""Half extents of the table [m]; its top is z = 0 of ``base_link``."""
LARGEST_ITEM = 0.036
"""Half extent that every object fits in [m]: collision bounds are compiled for it."""
HIDDEN_GROUP = 4
"""Geoms of this group are not drawn."""
WALL_THICKNESS = 0.004
"""Thickness of container walls [m]."""


class World:
    """The scene's model, with the handles needed to read and change it.

    Args:
        arm: which arm stands on the table.

    Attributes:
        model: the compiled model. Its object and container geoms are rewritten by :meth:`apply`.
        arm_geoms: indices of the arm's and gripper's geoms.
        ghost: a second state, to ask where the tool point would be at other joint positions.
    """

    def __init__(self, arm: ArmModel) -> None:
        spec = arm_spec(arm)
        spec.option.timestep = PHYSICS_DT
        # Several contact points between convex shapes, so that upright cylinders do not wobble; by
        # the older algorithm, as the new one at times sees parallel boxes 9 cm inside each other.
        spec.option.enableflags |= int(mujoco.mjtEnableBit.mjENBL_MULTICCD)
        spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)
        spec.visual.quality.shadowsize = 0
        spec.visual.global_.offwidth, spec.visual.global_.offheight = 640, 480
        _add_table(spec)
        for kind in CONTAINERS:
            _add_container(spec, kind)
        slots = LayoutLimits().objects
        for slot in range(slots):
            _add_object(spec, slot)
        self.model: mujoco.MjModel = spec.compile()
        model = self.model
        self.ghost = mujoco.MjData(model)
        self._bodies = [model.body(f"object{slot}").id for slot in range(slots)]
        self._geoms = [int(model.body_geomadr[body]) for body in self._bodies]
        self._joints = [model.joint(f"object{slot}") for slot in range(slots)]
        self._containers = {kind: model.body(kind).id for kind in CONTAINERS}
        still = {0, *self._bodies, *self._containers.values()}
        self.arm_geoms = np.array(
            [geom for geom in range(model.ngeom) if int(model.geom_bodyid[geom]) not in still]
        )
        self._table = model.geom("table").id
        self._light = model.light("lamp").id
        names = [model.camera(index).name for index in range(model.ncam)]
        self._cameras = {name: model.camera(name).id for name in names}
        self._camera_poses = {
            name: (model.cam_pos[index].copy(), model.cam_quat[index].copy())
            for name, index in self._cameras.items()
        }

    def apply(self, layout: Layout, data: mujoco.MjData) -> None:
        """Rewrite the model for ``layout`` and set the objects of freshly reset ``data``.

        Args:
            layout: the scene.
            data: its joint positions of the arm are left at the model's defaults.
        """
        for slot, item in enumerate(layout.items):
            self._apply_item(slot, item)
        for container in layout.containers:
            body = self._containers[container.kind]
            self.model.body_pos[body] = (container.x, container.y, 0.0)
            self.model.body_quat[body] = _quaternion(container.yaw)
            first = self.model.body_geomadr[body]
            self.model.geom_rgba[first : first + self.model.body_geomnum[body], :3] = container.rgb
        self._apply_look(layout)
        mujoco.mj_setConst(self.model, data)
        mujoco.mj_resetData(self.model, data)
        for slot, item in enumerate(layout.items):
            pose = data.joint(self._joints[slot].id).qpos
            pose[:3] = (item.x, item.y, item.height / 2)
            pose[3:] = _quaternion(item.yaw)

    def body(self, slot: int) -> int:
        """Body index of the object in ``slot``."""
        return self._bodies[slot]

    def geom(self, slot: int) -> int:
        """Geom index of the object in ``slot``."""
        return self._geoms[slot]

    def _apply_item(self, slot: int, item: Item) -> None:
        model, geom, body = self.model, self._geoms[slot], self._bodies[slot]
        half = np.array(item.size) / 2
        x, y, z = np.array(item.size) ** 2
        if item.kind == "cylinder":
            model.geom_type[geom] = mujoco.mjtGeom.mjGEOM_CYLINDER
            model.geom_size[geom] = (half[0], half[2], 0.0)
            inertia = (x / 16 + z / 12, x / 16 + z / 12, x / 8)
        else:
            model.geom_type[geom] = mujoco.mjtGeom.mjGEOM_BOX
            model.geom_size[geom] = half
            inertia = ((y + z) / 12, (x + z) / 12, (x + y) / 12)
        model.geom_rbound[geom] = np.linalg.norm(half)
        model.geom_aabb[geom] = (0.0, 0.0, 0.0, *half)
        model.geom_rgba[geom] = (*item.rgb, 1.0)
        model.body_mass[body] = item.mass
        model.body_inertia[body] = item.mass * np.array(inertia)

    def _apply_look(self, layout: Layout) -> None:
        look, model = layout.look, self.model
        model.geom_rgba[self._table, :3] = look.table
        model.vis.headlight.ambient[:] = look.ambient
        model.vis.headlight.diffuse[:] = look.headlight
        model.vis.headlight.specular[:] = 0.0
        model.light_dir[self._light] = look.light
        model.light_diffuse[self._light] = look.diffuse
        for name, (position, quaternion) in self._camera_poses.items():
            if name in look.camera_offset:
                moved = displaced(
                    position, quaternion, look.camera_offset[name], look.camera_turn[name]
                )
                index = self._cameras[name]
                model.cam_pos[index], model.cam_quat[index] = moved


def _quaternion(yaw: float) -> np.ndarray:
    return Rotation.from_euler("z", yaw).as_quat(scalar_first=True)


def _add_table(spec: mujoco.MjSpec) -> None:
    base = spec.worldbody
    base.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(0.35, 0.0, -TABLE_HALF[2]),
        size=TABLE_HALF,
        rgba=(0.5, 0.5, 0.5, 1.0),
        contype=0,
        conaffinity=0,
    )
    # Boxes stand on a plane, not on a box: between nearly parallel boxes MuJoCo (3.3.7) now and
    # then finds a contact 9 cm deep, which flings what lies there.
    base.add_geom(
        name="ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(*TABLE_HALF[:2], 0.1),
        friction=(0.8, 0.005, 0.0001),
        group=HIDDEN_GROUP,
    )
    base.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=(0.3, 0.0, 1.5),
        castshadow=False,
        specular=(0.1, 0.1, 0.1),
        ambient=(0.0, 0.0, 0.0),
    )
    camera = FrontCamera()
    base.add_camera(name="front", pos=camera.position, quat=camera.quaternion(), fovy=camera.fovy)


def _add_container(spec: mujoco.MjSpec, kind: str) -> None:
    """Floor and walls: eight for the bowl, four for the box."""
    body = spec.worldbody.add_body(name=kind)
    sides = 8 if kind == "bowl" else 4
    middle = CONTAINER_INNER + WALL_THICKNESS / 2
    half_side = (CONTAINER_INNER + WALL_THICKNESS) * float(np.tan(np.pi / sides))
    # For the same reason the floor that carries is round, whatever it looks like.
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=(0.0, 0.0, CONTAINER_FLOOR - 0.01),
        size=(CONTAINER_INNER + WALL_THICKNESS, 0.01, 0.0),
        group=HIDDEN_GROUP,
    )
    if kind == "bowl":
        floor, size = (
            mujoco.mjtGeom.mjGEOM_CYLINDER,
            (CONTAINER_INNER + WALL_THICKNESS, CONTAINER_FLOOR / 2, 0.0),
        )
    else:
        floor = mujoco.mjtGeom.mjGEOM_BOX
        size = (CONTAINER_INNER, CONTAINER_INNER, CONTAINER_FLOOR / 2)
    body.add_geom(
        type=floor,
        pos=(0.0, 0.0, CONTAINER_FLOOR / 2),
        size=size,
        contype=0,
        conaffinity=0,
    )
    for side in range(sides):
        angle = 2 * np.pi * side / sides
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(middle * np.cos(angle), middle * np.sin(angle), CONTAINER_WALL / 2),
            quat=_quaternion(angle),
            size=(WALL_THICKNESS / 2, half_side, CONTAINER_WALL / 2),
        )


def _add_object(spec: mujoco.MjSpec, slot: int) -> None:
    body = spec.worldbody.add_body(name=f"object{slot}", pos=(0.3, 0.15 * (slot - 1), 0.1))
    body.add_freejoint(name=f"object{slot}")
    body.add_geom(
        name=f"object{slot}",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(LARGEST_ITEM, LARGEST_ITEM, LARGEST_ITEM),
        # Rolling friction too: a dropped cylinder comes to rest.
        condim=6,
        friction=(1.2, 0.01, 0.002),
        # Stiff, and the object's word counts: soft contacts let fingers sink in by millimetres.
        solref=(0.006, 1.0),
        solimp=(0.95, 0.99, 0.001, 0.5, 2.0),
        priority=2,
        mass=0.05,
    )
