"""Camera images to mp4 and back.

H.264 with full chroma (yuv444p): a coloured object is a few pixels wide, and half-resolution chroma
smears it. Small pictures, which policies see as they are, are packed without loss: what is left is
the rounding of RGB to YUV and back, two levels of 255 at most, at a kilobyte a picture. Large ones
come from cameras, mostly as JPEG, and are packed nearly without loss: by 1.1 levels in the mean and
14 at most, where JPEG of quality 90 took 2.3 and 108 before; half-resolution chroma would take 1.6
and 47, for a tenth fewer bytes (``benchmarks/dataset_pictures.py``). No B-frames and short groups
of pictures, so that an episode starts at a key frame, files join without encoding again, and random
access is cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vla_distill.dataset.errors import DatasetError

CODEC = "h264"
PIXEL_FORMAT = "yuv444p"
LOSSLESS = {"crf": "0", "preset": "veryfast"}
NEARLY_LOSSLESS = {"crf": "12", "preset": "ultrafast"}
"""A third of the bytes of ``crf 0``, in less time."""
LARGE = 256 * 256
"""Pictures of more pixels are packed nearly without loss."""
GROUP_SIZE = 10
"""Frames from key frame to key frame."""


def options(height: int, width: int) -> dict[str, str]:
    """Options of the encoder for pictures of a size [px]."""
    return LOSSLESS if height * width <= LARGE else NEARLY_LOSSLESS


def info(height: int, width: int) -> dict[str, Any]:
    """What ``info.json`` says of the encoding of pictures of a size [px]: ``crf`` 0 is lossless."""
    crf = int(options(height, width)["crf"])
    return {"video.codec": CODEC, "video.pix_fmt": PIXEL_FORMAT, "video.crf": crf}


def encode(path: Path, images: NDArray[np.uint8], fps: int) -> None:
    """Write one episode of one camera.

    Args:
        path: the mp4 file.
        images: shape (T, H, W, 3), uint8, RGB.
        fps: frames per second.
    """
    height, width = images.shape[1:3]
    chosen = options(height, width) | {"bf": "0"}
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=chosen)
        stream.height, stream.width = height, width
        stream.pix_fmt = PIXEL_FORMAT
        stream.gop_size = GROUP_SIZE
        stream.codec_context.thread_count = 1
        for image in images:
            frame = av.VideoFrame.from_numpy_buffer(image, format="rgb24")  # no copy
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def join(sources: Sequence[Path], path: Path, fps: int) -> list[int]:
    """Join files of equal encoding, packet by packet.

    Args:
        sources: mp4 files written by :func:`encode`.
        path: the joined file.
        fps: frames per second.

    Returns:
        Number of frames of each source.

    Raises:
        DatasetError: a source cannot be read or is encoded differently.
    """
    counts: list[int] = []
    joined: VideoStream | None = None
    extradata: bytes | None = None
    total = 0
    with av.open(str(path), "w", format="mp4") as output:
        for source in sources:
            with open_video(source) as container:
                stream = container.streams.video[0]
                if joined is None:
                    joined = output.add_stream_from_template(stream)
                    assert joined is not None
                    joined.codec_context.time_base = Fraction(1, fps)
                    extradata = stream.codec_context.extradata
                elif stream.codec_context.extradata != extradata:
                    raise DatasetError(
                        f"{source}: encoding", got="other parameters", expected=f"as {sources[0]}"
                    )
                count = 0
                for packet in container.demux(stream):
                    if packet.size == 0:
                        continue
                    packet.time_base = Fraction(1, fps)
                    packet.pts = packet.dts = total + count
                    packet.duration = 1
                    packet.stream = joined
                    output.mux(packet)
                    count += 1
            counts.append(count)
            total += count
    return counts


def decode(
    path: Path, fps: float, start: int = 0, count: int | None = None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Read frames in order.

    Args:
        path: the mp4 file.
        fps: frames per second.
        start: number of the first frame wanted.
        count: frames wanted; None: to the end of the file.

    Yields:
        Number of the frame in the file and its image, shape (H, W, 3), uint8, RGB.

    Raises:
        DatasetError: the file is missing, is no video, is damaged, or ends too early.
    """
    wanted = None if count is None else start + count
    number = start - 1
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        # Without it, a damaged picture is patched up in silence.
        stream.codec_context.options = {"err_detect": "explode"}
        if start and stream.time_base:
            container.seek(round(start / fps / float(stream.time_base)), stream=stream)
        try:
            for frame in container.decode(stream):
                number = round(float(frame.time or 0.0) * fps)
                if number < start:
                    continue
                if wanted is not None and number >= wanted:
                    return
                yield number, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                if wanted is not None and number + 1 == wanted:
                    return
        except av.error.FFmpegError as error:
            raise DatasetError(
                f"{path}: frame {number + 1}", got=error, expected="a readable frame"
            ) from error
    if wanted is not None and number + 1 < wanted:
        raise DatasetError(f"{path}: frames", got=number + 1, expected=f"at least {wanted}")


def open_video(path: Path) -> InputContainer:
    """Open an mp4 file with a video stream.

    Raises:
        DatasetError: the file is missing, truncated, or holds no video.
    """
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise DatasetError(f"{path}", got=error, expected="a readable mp4 file") from error
    if not container.streams.video:
        container.close()
        raise DatasetError(f"{path}", got="no video stream", expected="one video stream")
    return container
