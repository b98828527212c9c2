"""Rates, cameras and seeds that everyone who talks to the world must agree on."""

from __future__ import annotations

from typing import Final

CAMERAS: Final = ("front", "wrist")
IMAGE_SIZE: Final = 96
"""Side of the square camera images [px]."""
PHYSICS_DT: Final = 0.002
"""Physics step [s]."""
CONTROL_DT: Final = 0.02
"""Time between joint targets [s]."""
STEP_DT: Final = 0.1
"""Time between camera images, and between the targets of a chunk [s]."""
HOLD_TIME: Final = 1.0
"""How long a task's condition must hold before it counts as success [s]."""
TRAIN_SEED_START: Final = 1_000_000
"""Demonstrations use seeds from here on; evaluation uses seeds below 100 000."""
