"""Instructions from bytes that anybody may have sent."""

from __future__ import annotations

import struct

from vla_policy.contract import MAX_INSTRUCTION_BYTES
from vla_policy.errors import PolicyError

_TEXT_AT = 8


def decode_string(raw: bytes) -> str:
    """Return the text of a serialised ``std_msgs/String``.

    CDR: 2 bytes that name the byte order, 2 of options, the length with the closing zero, the text.
    Read by hand: rclpy puts signs in the place of what is not UTF-8, and says nothing.

    Raises:
        PolicyError: the message is cut off, the text is longer than 1024 bytes, or not UTF-8.
    """
    if len(raw) < _TEXT_AT:
        raise PolicyError("instruction", got=f"{len(raw)} bytes", expected="a std_msgs/String")
    (size,) = struct.unpack_from("<I" if raw[1] & 1 else ">I", raw, 4)
    if size > MAX_INSTRUCTION_BYTES + 1:
        raise PolicyError(
            "instruction", got=f"{size - 1} bytes", expected=f"at most {MAX_INSTRUCTION_BYTES}"
        )
    text = raw[_TEXT_AT : _TEXT_AT + max(size - 1, 0)]
    if len(text) != max(size - 1, 0):
        raise PolicyError("instruction", got=f"{len(text)} bytes", expected=f"{size - 1}")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError("instruction", got=f"{error}", expected="UTF-8 text") from error
