"""Image messages to and from RGB arrays, by their fields: no ROS is imported here."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_policy.errors import PolicyError

# Encoding (sensor_msgs/image_encodings) -> the channels that are red, green and blue, of how many.
_CHANNELS: dict[str, tuple[tuple[int, int, int], int]] = {
    "rgb8": ((0, 1, 2), 3),
    "bgr8": ((2, 1, 0), 3),
    "rgba8": ((0, 1, 2), 4),
    "bgra8": ((2, 1, 0), 4),
    "mono8": ((0, 0, 0), 1),
}
MAX_IMAGE_SIDE = 8192


def image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert a ``sensor_msgs/Image`` with any row padding.

    Byte order is of no matter to the 8-bit encodings that are understood.

    Returns:
        RGB image. Shape (height, width, 3), uint8, contiguous; its memory is its own.

    Raises:
        PolicyError: the encoding is not understood, the size is zero or absurd, the step is shorter
            than a row, or there are fewer or more bytes than step x height.
    """
    if message.encoding not in _CHANNELS:
        raise PolicyError(
            "image encoding", got=repr(message.encoding), expected=f"one of {sorted(_CHANNELS)}"
        )
    order, depth = _CHANNELS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    if not (0 < height <= MAX_IMAGE_SIDE and 0 < width <= MAX_IMAGE_SIDE):
        raise PolicyError(
            "image size", got=f"{width}x{height}", expected=f"1 to {MAX_IMAGE_SIDE} px a side"
        )
    if step < width * depth:
        raise PolicyError("image step", got=step, expected=f"at least {width * depth} bytes")
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size != step * height:
        raise PolicyError(
            "image data", got=f"{data.size} bytes", expected=f"step x height = {step * height}"
        )
    pixels = data.reshape(height, step)[:, : width * depth].reshape(height, width, depth)
    if order == (0, 1, 2) and depth == 3:
        return pixels.copy()
    return np.ascontiguousarray(pixels[:, :, list(order)])


def compressed_image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert a ``sensor_msgs/CompressedImage`` (JPEG or PNG).

    Returns:
        RGB image. Shape (height, width, 3), uint8.

    Raises:
        PolicyError: the bytes are not an image that OpenCV can decode.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # a header of absurd size
        image = None
    if image is None:
        raise PolicyError(
            "compressed image",
            got=f"{data.size} bytes, format {message.format!r}",
            expected="a whole JPEG or PNG",
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def to_rgb(message: Any) -> NDArray[np.uint8]:
    """Convert an ``Image`` or a ``CompressedImage``, told apart by their fields."""
    return (
        image_to_rgb(message) if hasattr(message, "encoding") else compressed_image_to_rgb(message)
    )


def rgb_to_image(image: NDArray[np.uint8], message: Any) -> None:
    """Fill a ``sensor_msgs/Image`` from an RGB image. Shape (H, W, 3), uint8."""
    message.height, message.width = image.shape[:2]
    message.encoding, message.is_bigendian, message.step = "rgb8", 0, image.shape[1] * 3
    message.data.frombytes(np.ascontiguousarray(image).data)


def fit_image(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize an RGB image (H, W, 3) to (size, size, 3); one that fits stays what it is."""
    if image.shape[:2] == (size, size):
        return image
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)
