"""All failures at a glance: the last picture of each, with what was asked and why it failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vla_distill.evaluation.episode import EpisodeResult
from vla_distill.report.video import Image, caption
from vla_distill.report.watchers import RED, stem

TILE = (240, 320)
"""Height and width of a picture [px]."""
MOST_TILES = 60


def contact_sheet(folder: Path, results: Sequence[EpisodeResult]) -> Path | None:
    """Write ``failures.jpg`` in the evaluation's folder.

    Args:
        folder: where the evaluation kept the last pictures, as ``failures/TASK_SEED.jpg``.
        results: all results; the successes are left out.

    Returns:
        The picture's path; None when nothing failed.
    """
    failures = [result for result in results if not result.success][:MOST_TILES]
    path = folder / "failures.jpg"
    if not failures:
        path.unlink(missing_ok=True)
        return None
    tiles = [_tile(folder, result) for result in failures]
    columns = min(4, len(tiles))
    blank = np.full_like(tiles[0], 24)
    tiles += [blank] * (math.ceil(len(tiles) / columns) * columns - len(tiles))
    rows = [np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles), columns)]
    sheet = np.vstack(rows)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return path


def _tile(folder: Path, result: EpisodeResult) -> Image:
    height, width = TILE
    stored = cv2.imread(str(folder / "failures" / f"{stem(result.task, result.seed)}.jpg"))
    if stored is None:
        picture = np.full((height, width, 3), 60, np.uint8)
    else:
        small = cv2.resize(stored, (width, height), interpolation=cv2.INTER_AREA)
        picture = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.uint8)
    picture = caption(picture, result.instruction)
    return caption(picture, f"{result.task} seed {result.seed}", result.cause, RED)
