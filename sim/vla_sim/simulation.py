"""The world as others use it: reset, step, render, judge. Same seed, same bytes."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.joint_table import HOME, get_arm
from vla_sim.constants import CAMERAS, CONTROL_DT, HOLD_TIME, IMAGE_SIZE, PHYSICS_DT
from vla_sim.errors import SimulationError
from vla_sim.events import Events
from vla_sim.scene.layout import Layout
from vla_sim.scene.world import ARM_JOINTS, World
from vla_sim.tasks import Aim, TaskStatus, draw_episode
from vla_sim.truth import Truth

OPEN = 0.08
"""Gripper opening at the start of an episode [m]."""
LIFTED = 0.03
"""An object whose centre has risen so far has been lifted [m]."""
SMALL_PICTURE = 160
"""Pictures up to this size are rendered without smoothing, four times as fast [px]."""


UNSTABLE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
"""Numbers that are no longer finite or far too large."""


@dataclass(frozen=True)
class Episode:
    """What was asked for at a reset.

    Attributes:
        task: name of the task.
        instruction: the task in plain words.
        seed: the seed of the scene.
        target: name of the thing that the instruction asks to act on.
        goal: name of the thing that it also names, e.g. the container; or None.
        time_limit: after which the episode has failed [s].
        objects: names of all things of the scene.
    """

    task: str
    instruction: str
    seed: int
    target: str
    goal: str | None
    time_limit: float
    objects: tuple[str, ...]

    @property
    def aim(self) -> Aim:
        """Object and container that the instruction names."""
        return Aim(self.target, self.goal)


@dataclass(frozen=True)
class JointState:
    """The arm's joints, measured.

    Attributes:
        positions: Shape (6,) [rad].
        velocities: Shape (6,) [rad/s].
        gripper: distance between the finger pads [m].
        stamp: simulated time [s].
    """

    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]
    gripper: float
    stamp: float


class Simulation:
    """One world with one arm.

    Args:
        image_size: side of the camera images [px].
        cameras: names of the cameras of the observation.
        arm: name of the arm model.

    Raises:
        SimulationError: a camera that does not exist.
    """

    def __init__(
        self,
        image_size: int = IMAGE_SIZE,
        cameras: Sequence[str] = CAMERAS,
        arm: str = "X5",
    ) -> None:
        for camera in cameras:
            if camera not in CAMERAS:
                raise SimulationError("camera", got=camera, expected=list(CAMERAS))
        self.image_size, self.cameras, self.arm = image_size, tuple(cameras), get_arm(arm)
        self._world = World(self.arm)
        self.model = self._world.model
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in ARM_JOINTS]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._fingers = np.array(
            [self.model.joint(name).qposadr[0] for name in ("finger_left", "finger_right")]
        )
        self._servos = np.array([self.model.actuator(name).id for name in ARM_JOINTS])
        self._gripper = self.model.actuator("gripper").id
        self._substeps = round(CONTROL_DT / PHYSICS_DT)
        self._drawn = mujoco.MjvOption()
        self._drawn.sitegroup[:] = 0
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._episode: Episode | None = None
        self._truth: Truth | None = None
        self._held = 0.0

    @property
    def episode(self) -> Episode:
        """The running episode.

        Raises:
            SimulationError: there was no reset yet.
        """
        if self._episode is None:
            raise SimulationError("episode", got="none", expected="a reset first")
        return self._episode

    @property
    def time(self) -> float:
        """Time since the reset [s]."""
        return float(self.data.time)

    @property
    def stable(self) -> bool:
        """Whether MuJoCo could follow the world since the reset. Where it could not, e.g. because
        bodies were put into each other, it has begun anew from a state that means nothing."""
        return not any(self.data.warning[int(kind)].number for kind in UNSTABLE)

    def reset(
        self,
        task: str,
        seed: int,
        *,
        instructions: str = "train",
        swap: bool = False,
        change: Callable[[Layout], Layout] | None = None,
    ) -> Episode:
        """Begin an episode.

        Args:
            task: name of the task.
            seed: 0 or more; scene, look and instruction follow from it and the task alone.
            instructions: which set of phrasings, ``train``, ``new_sentences`` or ``new_words``.
            swap: keep every byte of the scene, but name another object of it.
            change: makes another scene of the one that was drawn; names must stay.

        Raises:
            SimulationError: unknown task or set of phrasings, or a negative seed.
        """
        judge, layout, aim, sentence = draw_episode(task, seed, instructions, swap)
        layout = change(layout) if change else layout
        self._world.apply(layout, self.data)
        self.data.qpos[self._qpos] = HOME
        self.data.qpos[self._fingers] = OPEN / 2
        self.data.ctrl[self._servos] = HOME
        self.data.ctrl[self._gripper] = OPEN
        mujoco.mj_forward(self.model, self.data)
        self._task, self._held = judge, 0.0
        self._events = Events()
        self._truth = Truth(self._world, self.data, layout, self._events)
        self._episode = Episode(
            task, sentence, seed, aim.target, aim.goal, judge.time_limit,
            layout.names,
        )  # fmt: skip
        return self._episode

    def place_arm(self, joints: ArrayLike, opening: float, commanded: float) -> None:
        """Put the arm somewhere, at rest, as if it had been sent there.

        Args:
            joints: Shape (6,) [rad].
            opening: of the gripper, measured [m].
            commanded: of the gripper, last asked for [m].
        """
        self.data.qpos[self._qpos] = self.data.ctrl[self._servos] = joints
        self.data.qpos[self._fingers] = opening / 2
        self.data.ctrl[self._gripper] = commanded
        mujoco.mj_forward(self.model, self.data)

    def joint_state(self) -> JointState:
        """The arm's joints as measured now."""
        return JointState(
            positions=self.data.qpos[self._qpos].copy(),
            velocities=self.data.qvel[self._qvel].copy(),
            gripper=float(self.data.qpos[self._fingers].sum()),
            stamp=self.time,
        )

    def joint_target(self) -> tuple[NDArray[np.float64], float]:
        """The last joint target, Shape (6,) [rad], and gripper opening [m]."""
        return self.data.ctrl[self._servos].copy(), float(self.data.ctrl[self._gripper])

    def step(self, joint_target: ArrayLike, gripper: float) -> None:
        """Advance by one control tick (20 ms).

        Args:
            joint_target: Shape (6,) [rad].
            gripper: opening [m].

        Raises:
            SimulationError: the target has another shape or is not finite.
        """
        target = np.asarray(joint_target, dtype=np.float64)
        if target.shape != (6,) or not np.isfinite(target).all() or not np.isfinite(gripper):
            raise SimulationError(
                "joint target", got=(target, gripper), expected="7 finite numbers"
            )
        episode = self.episode
        self.data.ctrl[self._servos] = target
        self.data.ctrl[self._gripper] = gripper
        self._world.fixtures.drive(self.privileged().layout, self.data)
        mujoco.mj_step(self.model, self.data, self._substeps)
        self._note_events()
        if self._task.satisfied(self.privileged(), episode.aim):
            self._held += CONTROL_DT
        else:
            self._held = 0.0

    def _note_events(self) -> None:
        """Write down what happened in this tick; a button's light goes on as it is pressed."""
        truth, events = self.privileged(), self._events
        for name in self._world.fixtures.pressed(self.data):
            if name not in events.pressed:
                events.pressed[name] = self.time
                self._world.fixtures.light(name, True)
        for item in truth.layout.items:
            risen = truth.position(item.name)[2] - item.z - item.height / 2
            if risen > LIFTED and item.name not in events.lifted:
                events.lifted[item.name] = self.time

    def status(self) -> TaskStatus:
        """How far the episode is. Success needs the condition to hold for a second."""
        truth, aim = self.privileged(), self.episode.aim
        progress, phase = self._task.progress(truth, aim)
        success = self._held >= HOLD_TIME - 1e-9
        return TaskStatus(success, self._held, progress, "done" if success else phase)

    def render(self, camera: str, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """One picture.

        Args:
            camera: name of a camera.
            size: height and width [px]; by default the square policy image.

        Returns:
            Shape (H, W, 3), uint8, RGB.

        Raises:
            SimulationError: a camera that does not exist.
        """
        if camera not in CAMERAS:
            raise SimulationError("camera", got=camera, expected=list(CAMERAS))
        size = size or (self.image_size, self.image_size)
        if size not in self._renderers:
            self._renderers[size] = _make_renderer(self.model, size)
        renderer = self._renderers[size]
        renderer.update_scene(self.data, camera, self._drawn)
        return renderer.render()

    def privileged(self) -> Truth:
        """What only judges and experts may see.

        Raises:
            SimulationError: there was no reset yet.
        """
        if self._truth is None:
            raise SimulationError("episode", got="none", expected="a reset first")
        return self._truth

    def keypoints(self) -> dict[str, NDArray[np.float64]]:
        """Positions for auxiliary training losses, Shape (3,) each, in ``base_link`` [m].

        ``target`` is where the thing to act on is, ``goal`` where the other named thing is (the
        target's where the task has none), ``gripper`` the tool point; see :meth:`Truth.position`.
        """
        truth, episode = self.privileged(), self.episode
        target = truth.position(episode.target)
        goal = target if episode.goal is None else truth.position(episode.goal)
        return {"target": target, "goal": goal, "gripper": truth.gripper_position()}

    def close(self) -> None:
        """Free the renderers."""
        while self._renderers:
            self._renderers.popitem()[1].close()


_open_renderers: weakref.WeakSet[mujoco.Renderer] = weakref.WeakSet()


def _close_renderers() -> None:
    """At exit: renderers left to the garbage collector would outlive the graphics library."""
    for renderer in list(_open_renderers):
        renderer.close()


def _make_renderer(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.Renderer:
    """A renderer without shadows, reflections and, for small pictures, smoothed edges."""
    model.vis.quality.offsamples = 0 if max(size) <= SMALL_PICTURE else 4
    renderer = mujoco.Renderer(model, *size)
    if not _open_renderers:
        atexit.unregister(_close_renderers)
        atexit.register(_close_renderers)  # anew, so that it runs before the library's own end
    _open_renderers.add(renderer)
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] = 0
    return renderer
