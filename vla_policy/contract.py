"""The words that all rooms share: Observation, ActionChunk, ComputeReport, Memory, Policy.

Poses are end-effector positions [m] and rotation vectors [rad] of ``eef_link`` in the frame
``frame_id`` (the base). A node, the closed-loop evaluation, the bag evaluation and a benchmark
all call a policy through the two verbs of :class:`Policy`, so all see the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vla_policy.errors import PolicyError

STATE_SIZE = 8
TARGET_SIZE = 7
MAX_INSTRUCTION_BYTES = 1024
BASE_FRAME = "base_link"


@dataclass(frozen=True)
class Observation:
    """What the policy sees at one instant.

    Attributes:
        images: camera name -> image. Shape (H, W, 3), uint8, RGB.
        state: measured end-effector position x y z [m] and rotation vector [rad] in the base frame,
            gripper opening measured and commanded [m]. Shape (8,), float32. An empty closed gripper
            and a holding one differ only in measured against commanded opening.
        instruction: what to do, in plain words.
        stamp: time of the oldest image [s]; the state is interpolated to it.
        input_stamps: stamp of every input used [s], by name.
    """

    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    instruction: str
    stamp: float
    input_stamps: Mapping[str, float] = field(default_factory=dict)

    def validate(self, cameras: Sequence[str]) -> None:
        """Check the observation against what a policy needs.

        Raises:
            PolicyError: a camera is missing, an image is not (H, W, 3) uint8, the state is not (8,)
                or not finite, or the instruction is empty or longer than 1024 bytes.
        """
        for name in cameras:
            if name not in self.images:
                raise PolicyError(
                    f"camera {name!r}", got=sorted(self.images), expected=list(cameras)
                )
            image = self.images[name]
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise PolicyError(
                    f"image {name!r}",
                    got=f"{image.dtype} {image.shape}",
                    expected="uint8 (H, W, 3)",
                )
        if self.state.shape != (STATE_SIZE,) or not np.isfinite(self.state).all():
            raise PolicyError("state", got=self.state, expected="8 finite numbers")
        validate_instruction(self.instruction)


def validate_instruction(instruction: str) -> None:
    """Refuse an empty or oversized instruction.

    Raises:
        PolicyError: nothing but blanks, or more than 1024 bytes of UTF-8.
    """
    size = len(instruction.encode())
    if not instruction.strip() or size > MAX_INSTRUCTION_BYTES:
        raise PolicyError(
            "instruction", got=f"{size} bytes", expected=f"1 to {MAX_INSTRUCTION_BYTES} bytes"
        )


@dataclass(frozen=True)
class ComputeReport:
    """What one inference cost.

    Attributes:
        layers_run: indices of the language layers that ran.
        visual_tokens: visual tokens that entered the language stack, and that left its selection.
        head_steps: denoising steps, and how many of them were computed rather than reused.
        gflops: floating-point operations of this chunk, multiply and add counted as two [1e9].
        milliseconds: wall time by stage: ``vision``, ``language``, ``head``, ``total`` [ms]; the
            total is more than their sum by resizing, copying and composing poses.
    """

    layers_run: tuple[int, ...] = ()
    visual_tokens: tuple[int, int] = (0, 0)
    head_steps: tuple[int, int] = (0, 0)
    gflops: float = 0.0
    milliseconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Continuation:
    """What a chunk that was computed to go on from another one rests on.

    Attributes:
        previous: stamp of the other chunk [s].
        frozen_until: until when the other one was expected to be executed whatever came [s].
    """

    previous: float
    frozen_until: float


@dataclass(frozen=True)
class ActionChunk:
    """Where the end effector shall be, over the next moments.

    Attributes:
        targets: absolute end-effector position [m], rotation vector [rad] in ``frame_id``, gripper
            opening [m]. Shape (T, 7), float32. Target i is due at ``stamp + (i + 1) * step_dt``.
        stamp: the observation's stamp [s].
        step_dt: time between targets [s].
        frame_id: the frame of the poses; BASE_FRAME is the arm's base, whatever the robot calls it.
        sequence: counts the chunks of an episode from 0.
        policy_hash: identifies weights and recipe.
        instruction: the instruction followed.
        seed: noise seed of this chunk; with it and the input stamps the chunk can be recomputed.
        input_stamps: as in the observation [s].
        report: what the chunk cost.
        continues: the chunk that this one was computed to go on from; None if it was free.
    """

    targets: NDArray[np.float32]
    stamp: float
    step_dt: float
    frame_id: str = BASE_FRAME
    sequence: int = 0
    policy_hash: str = ""
    instruction: str = ""
    seed: int = 0
    input_stamps: Mapping[str, float] = field(default_factory=dict)
    report: ComputeReport = field(default_factory=ComputeReport)
    continues: Continuation | None = None


@dataclass
class Memory:
    """What an episode carries from chunk to chunk. Belongs to the caller, one an episode.

    Attributes:
        seed: the episode's seed; chunk ``sequence`` draws its noise from (seed, sequence).
        sequence: number of the next chunk.
        previous: the last chunk, or None at the start.
        store: what efficiency methods keep (token caches, router state), by method name.
        frozen_until: until when ``previous`` is executed whatever comes [s], set by the caller
            (:mod:`vla_policy.chunking`); the next chunk goes on from there, if the policy can. None
            leaves it free.
    """

    seed: int
    sequence: int = 0
    previous: ActionChunk | None = None
    store: dict[str, Any] = field(default_factory=dict)
    frozen_until: float | None = None


@runtime_checkable
class Policy(Protocol):
    """Anything that turns observations into chunks."""

    @property
    def cameras(self) -> Sequence[str]:
        """Names of the images that ``infer`` needs."""
        ...

    @property
    def image_size(self) -> int:
        """Side of the square images that the policy works on [px]; others are resized to it."""
        ...

    @property
    def step_dt(self) -> float:
        """Time between targets [s]."""
        ...

    @property
    def horizon(self) -> int:
        """Targets in a chunk."""
        ...

    @property
    def policy_hash(self) -> str:
        """Identifies weights and recipe."""
        ...

    def start(self, seed: int) -> Memory:
        """Begin an episode."""
        ...

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        """Compute one chunk an observation; each memory is advanced in place.

        Raises:
            PolicyError: an observation does not fit (see :meth:`Observation.validate`).
        """
        ...
