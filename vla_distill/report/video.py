"""MP4 videos of an episode, with the instruction written into every frame."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
DARK = 24
_FONT = cv2.FONT_HERSHEY_DUPLEX
_MARGIN = 12


class VideoWriter:
    """An H.264 file at a fixed rate; appears under its name only when it is complete.

    Args:
        path: the file to write, ending in ``.mp4``.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: int = 10) -> None:
        self.path, self._fps = path, fps
        self._part = path.with_suffix(".part.mp4")
        self._container = None
        self._stream = None

    def add(self, frame: Image) -> None:
        """Append a frame. Shape (H, W, 3), uint8, RGB, with even H and W; all of one size."""
        if self._container is None or self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._part), "w", options={"movflags": "faststart"})
            self._stream = self._container.add_stream("libx264", rate=self._fps)
            self._stream.height, self._stream.width = frame.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"crf": "23", "preset": "veryfast"}
            self._stream.thread_count = 1
        for packet in self._stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file; nothing is left when no frame was added."""
        if self._container is None or self._stream is None:
            return
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        self._container = None
        os.replace(self._part, self.path)


def caption(frame: Image, title: str, detail: str = "", color: Color = WHITE) -> Image:
    """A copy of the frame with a dark band below it that carries a line and, right, a detail.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        title: the instruction.
        detail: a few words at the right end, e.g. the time.
        color: RGB of the detail.

    Returns:
        Shape (H + band, W, 3), uint8, with even sides.
    """
    height, width = frame.shape[:2]
    band = max(24, round(height / 13)) // 2 * 2
    picture = np.full(((height + band) // 2 * 2, width // 2 * 2, 3), DARK, np.uint8)
    picture[:height, :] = frame[:, : picture.shape[1]]
    scale = band / 46
    baseline = height + round(band * 0.66)
    room = width - 2 * _MARGIN
    if detail:
        size = cv2.getTextSize(detail, _FONT, scale, 1)[0][0]
        at = (width - _MARGIN - size, baseline)
        cv2.putText(picture, detail, at, _FONT, scale, color, 1, cv2.LINE_AA)
        room -= size + _MARGIN
    title = fit(title, room, scale)
    cv2.putText(picture, title, (_MARGIN, baseline), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def fit(text: str, room: int, scale: float) -> str:
    """The text, cut with dots so that it is at most ``room`` pixels wide."""
    if cv2.getTextSize(text, _FONT, scale, 1)[0][0] <= room:
        return text
    while text and cv2.getTextSize(text + "...", _FONT, scale, 1)[0][0] > room:
        text = text[:-1]
    return text + "..."


def beside(frame: Image, pictures: Mapping[str, Image]) -> Image:
    """The frame with named square pictures stacked at its right, as high together as it is.

    Args:
        frame: Shape (H, W, 3), uint8, RGB.
        pictures: name -> what a camera sees. Shape (h, w, 3), uint8, RGB.

    Returns:
        Shape (H, W + H / number of pictures, 3), uint8.
    """
    if not pictures:
        return frame
    height, side = frame.shape[0], frame.shape[0] // len(pictures)
    column = np.full((height, side, 3), DARK, np.uint8)
    for row, (name, picture) in enumerate(pictures.items()):
        top = row * side
        column[top : top + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
        at = (8, top + side - 10)
        # Twice, so that it can be read on light and on dark.
        cv2.putText(column, name, at, _FONT, 0.45, (20, 20, 20), 3, cv2.LINE_AA)
        cv2.putText(column, name, at, _FONT, 0.45, WHITE, 1, cv2.LINE_AA)
        if row:
            column[top] = DARK
    column[:, 0] = DARK
    return np.hstack([frame, column])
