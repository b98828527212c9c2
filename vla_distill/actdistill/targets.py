"""What the teacher says of the frames: computed once by a clean teacher, kept on disk.

Clean: the plain teacher in eval mode on pictures that nobody changed; in the release its targets
pass through the student's untrained router. Filled when a frame is first drawn, so a run that draws
few frames computes few; students that share stage 1 share this too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from vla_distill.errors import DistillError

KEY = "key.json"


class TargetCache:
    """Arrays by frame, in float16: 7 kB a frame for 12 layers; files are sparse.

    Several processes may fill one cache: they write the same numbers to a frame.

    Args:
        folder: where the files are, or go.
        key: what the targets depend on.
        shapes: of a frame's arrays, by name.
        frames: how many there are.
        create: whether this process makes files that are not there.

    Raises:
        DistillError: the folder holds targets of another key.
    """

    def __init__(
        self,
        folder: Path,
        key: dict[str, Any],
        shapes: dict[str, tuple[int, ...]],
        frames: int,
        create: bool = True,
    ) -> None:
        written = folder / KEY
        if create and not written.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for name, shape in shapes.items():
                open_memmap(folder / f"{name}.npy", "w+", np.float16, (frames, *shape))
            open_memmap(folder / "done.npy", "w+", np.bool_, (frames,))
            written.write_text(json.dumps(key, indent=1) + "\n")
        theirs = json.loads(written.read_text())
        if theirs != key:
            raise DistillError(str(folder), got=theirs, expected=f"{key}, or another folder")
        self._arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
        self._done = np.load(folder / "done.npy", mmap_mode="r+")

    def get(
        self,
        rows: NDArray[np.int64],
        compute: Callable[[NDArray[np.int64]], dict[str, NDArray]],
    ) -> dict[str, NDArray[np.float32]]:
        """Targets of frames; those that are not there are computed and kept.

        Args:
            rows: frames.
            compute: gives the arrays of some frames, by name.
        """
        missing = np.unique(rows[~self._done[rows]])
        if len(missing):
            for name, values in compute(missing).items():
                self._arrays[name][missing] = values
            self._done[missing] = True
        return {name: array[rows].astype(np.float32) for name, array in self._arrays.items()}
