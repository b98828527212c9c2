"""Free objects: what lies on the table and can be moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

COLOURS: Final = {
    "red": (0.85, 0.06, 0.06),
    "green": (0.08, 0.62, 0.12),
    "blue": (0.06, 0.16, 0.85),
    "yellow": (0.95, 0.82, 0.05),
}
"""Colour name -> linear RGB in 0..1, before a scene's shade."""

KINDS: Final = ("cube", "cylinder", "block")
"""A cube, an upright cylinder, a flat elongated block that only fits the gripper crosswise."""
PEG: Final = "peg"
"""A slim upright square peg, heavy at its foot; only in scenes with a socket."""


@dataclass(frozen=True)
class Item:
    """One object on the table.

    Attributes:
        colour: a name in :data:`COLOURS`.
        kind: a name in :data:`KINDS`, or :data:`PEG`.
        rgb: linear colour of this one, in 0..1.
        size: full extents along its own x, y, z [m]; the gripper grasps across y.
        x: position in ``base_link`` [m].
        y: position in ``base_link`` [m].
        yaw: rotation about z [rad].
        z: height of what it stands on [m].
    """

    colour: str
    kind: str
    rgb: tuple[float, float, float]
    size: tuple[float, float, float]
    x: float
    y: float
    yaw: float
    z: float = 0.0

    @property
    def name(self) -> str:
        """How an instruction calls it, e.g. ``"red cube"``."""
        return f"{self.colour} {self.kind}"

    @property
    def height(self) -> float:
        """Full height [m]."""
        return self.size[2]

    @property
    def radius(self) -> float:
        """Radius of the circle on the table that holds it [m]."""
        if self.kind == "cylinder":
            return self.size[0] / 2
        return float(np.hypot(self.size[0], self.size[1]) / 2)

    @property
    def mass(self) -> float:
        """Mass [kg], of a light wood."""
        fill = np.pi / 4 if self.kind == "cylinder" else 1.0
        return float(fill * np.prod(self.size) * 750.0)

    @property
    def balance(self) -> float:
        """Height of the centre of mass over the middle [m]: low in a peg, easily felled."""
        return -0.3 * self.height if self.kind == PEG else 0.0
