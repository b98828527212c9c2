"""The MuJoCo model of a scene: compiled once, then given each new layout in place."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_arm.joint_table import ArmModel
from vla_arm.mjcf import arm_spec
from vla_sim.constants import PHYSICS_DT
from vla_sim.scene.cameras import FrontCamera, displaced
from vla_sim.scene.fixtures.slots import FixtureSlots, add_fixtures
from vla_sim.scene.groups import HIDDEN_GROUP, PARKED, yaw_quaternion
from vla_sim.scene.items import Item
from vla_sim.scene.layout import Layout

ARM_JOINTS = tuple(f"joint{index}" for index in range(1, 7))
"""Names of the arm's joints, and of their servos."""
TABLE_HALF = (0.75, 0.85, 0.02)
"""Half extents of the table [m]; its top is z = 0 of ``base_link``."""
LARGEST_ITEM = 0.036
"""Half extent that every object fits in [m]: collision bounds are compiled for it."""
SLOTS = 3
"""Most objects of a scene."""


class World:
    """The scene's model, with the handles needed to read and change it.

    Args:
        arm: which arm stands on the table.

    Attributes:
        model: the compiled model. Its objects and fixtures are rewritten by :meth:`apply`.
        fixtures: handles to what stands on the table for good.
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
        add_fixtures(spec)
        for slot in range(SLOTS):
            _add_object(spec, slot)
        self.model: mujoco.MjModel = spec.compile()
        model = self.model
        self.ghost = mujoco.MjData(model)
        self.fixtures = FixtureSlots(model)
        self._bodies = [model.body(f"object{slot}").id for slot in range(SLOTS)]
        self._geoms = [int(model.body_geomadr[body]) for body in self._bodies]
        self._joints = [model.joint(f"object{slot}") for slot in range(SLOTS)]
        others = {*self._geoms, *self.fixtures.geoms}
        self.arm_geoms = np.array(
            [
                geom
                for geom in range(model.ngeom)
                if model.geom_bodyid[geom] != 0 and geom not in others
            ]
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
        self.fixtures.apply(layout)
        for slot in range(SLOTS):
            used = slot < len(layout.items)
            self.model.geom_contype[self._geoms[slot]] = used
            self.model.geom_conaffinity[self._geoms[slot]] = used
            self.model.geom_group[self._geoms[slot]] = 0 if used else HIDDEN_GROUP
            self.model.body_gravcomp[self._bodies[slot]] = not used
            if used:
                self._apply_item(slot, layout.items[slot])
        self._apply_look(layout)
        mujoco.mj_setConst(self.model, data)
        mujoco.mj_resetData(self.model, data)
        for slot, joint in enumerate(self._joints):
            pose = data.joint(joint.id).qpos
            pose[:3] = (0.2 * slot, 0.0, PARKED)
            if slot < len(layout.items):
                item = layout.items[slot]
                pose[:3] = (item.x, item.y, item.z + item.height / 2)
                pose[3:] = yaw_quaternion(item.yaw)

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
        model.body_ipos[body] = (0.0, 0.0, item.balance)

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


def _add_object(spec: mujoco.MjSpec, slot: int) -> None:
    body = spec.worldbody.add_body(name=f"object{slot}", pos=(0.3, 0.15 * (slot - 1), 0.1))
    # Compiled off its middle, so that the model keeps room for pegs' low centre of mass.
    body.explicitinertial = True
    body.mass, body.inertia, body.ipos = 0.05, (1e-5, 1e-5, 1e-5), (0.0, 0.0, -0.001)
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
    )
