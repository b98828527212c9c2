"""Where points of the base frame appear in a camera's picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_arm.joint_table import X5
from vla_arm.mjcf import CAMERA_FOVY, CAMERA_POSITION, CAMERA_TARGET, look_along
from vla_distill.errors import DistillError
from vla_sim.scene.cameras import FrontCamera, displaced
from vla_sim.tasks import draw_episode

_NEAREST = 0.01
"""Points nearer to the camera than this, or behind it, are not drawn [m]."""


@dataclass(frozen=True)
class CameraView:
    """A pinhole camera.

    Attributes:
        position: in the base frame, or in the tool's [m]. Shape (3,).
        rotation: of the optical frame: x right, y down, z ahead.
        on_tool: whether it moves with ``eef_link``.
        focal: of the picture's width and of its height.
        centre: of the picture's width and of its height.
    """

    position: NDArray[np.float64]
    rotation: Rotation
    on_tool: bool
    focal: tuple[float, float]
    centre: tuple[float, float] = (0.5, 0.5)

    def project(
        self, points: NDArray[np.float64], tool: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Where points appear.

        Args:
            points: in the base frame [m]. Shape (N, 3).
            tool: pose of ``eef_link`` when the picture was taken [m, rad]. Shape (6,).

        Returns:
            Shares of the picture's width and height, from its top left corner; NaN where a point is
            not ahead of the camera. Shape (N, 2).
        """
        position, rotation = self.position, self.rotation
        if self.on_tool:
            turn = Rotation.from_rotvec(tool[3:6])
            position, rotation = tool[:3] + turn.apply(position), turn * rotation
        seen = rotation.inv().apply(points - position)
        ahead = seen[:, 2] > _NEAREST
        place = np.full((len(points), 2), np.nan)
        place[ahead] = seen[ahead, :2] / seen[ahead, 2:] * self.focal + self.centre
        return place


def simulated_views(task: str, seed: int) -> dict[str, CameraView]:
    """The simulation's cameras, as the scene of a task and seed displaces them.

    Args:
        task: name of a task of the suite; empty gives the cameras in their own places.
        seed: of the scene.
    """
    front = FrontCamera()
    wrist = np.subtract(CAMERA_POSITION, X5.eef_offset)
    turn = look_along(np.subtract(CAMERA_TARGET, CAMERA_POSITION))
    places = {
        "front": (np.array(front.position), front.quaternion(), front.fovy, False),
        "wrist": (wrist, turn, CAMERA_FOVY, True),
    }
    look = draw_episode(task, seed)[1].look if task else None
    views = {}
    for name, (position, quaternion, fovy, on_tool) in places.items():
        if look is not None and name in look.camera_offset:
            position, quaternion = displaced(
                position, quaternion, look.camera_offset[name], look.camera_turn[name]
            )
        focal = 0.5 / np.tan(0.5 * np.radians(fovy))
        # MuJoCo's cameras look along -z with y up.
        rotation = Rotation.from_quat(quaternion, scalar_first=True) * _FLIP
        views[name] = CameraView(np.asarray(position), rotation, on_tool, (focal, focal))
    return views


def calibrated_views(folder: Path) -> dict[str, CameraView]:
    """Real cameras: ``extrinsics.yaml`` and ``<name>.yaml`` as in ``config/cameras``.

    Raises:
        DistillError: a file is missing, or lacks what is needed.
    """
    places = _read(folder / "extrinsics.yaml")
    views = {}
    for frame, place in places.items():
        name = str(frame).removesuffix("_optical_frame").removesuffix("_camera")
        inner = _read(folder / f"{name}.yaml")
        try:
            x, y, z, yaw, pitch, roll = (float(value) for value in place["pose"])
            matrix = np.reshape(inner["camera_matrix"]["data"], (3, 3)).astype(float)
            size = np.array([inner["image_width"], inner["image_height"]], float)
            parent = place["parent"]
        except (KeyError, TypeError, ValueError) as error:
            raise DistillError(
                f"camera {name!r} of {folder}", got=error, expected="pose, parent, camera_matrix"
            ) from error
        if parent not in ("base_link", "link6", "eef_link"):
            raise DistillError(
                f"parent of camera {name!r}", got=parent, expected="base_link, link6 or eef_link"
            )
        position = np.array([x, y, z]) - (X5.eef_offset if parent == "link6" else 0.0)
        focal, centre = matrix[[0, 1], [0, 1]] / size, matrix[:2, 2] / size
        views[name] = CameraView(
            position, Rotation.from_euler("ZYX", [yaw, pitch, roll]), parent != "base_link",
            (float(focal[0]), float(focal[1])), (float(centre[0]), float(centre[1])),
        )  # fmt: skip
    return views


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DistillError(f"calibration {path}", got=error, expected="a YAML file") from error
    if not isinstance(found, dict):
        raise DistillError(f"calibration {path}", got=type(found).__name__, expected="names")
    return found


_FLIP = Rotation.from_matrix(np.diag([1.0, -1.0, -1.0]))
