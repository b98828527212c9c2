"""Mend what a killed process can leave of Fast DDS's shared memory: a port that hangs all others.

A port is a file that its first user creates, sizes and fills. Where that user is killed in
between, whoever opens the port next waits for the rest without end (Fast DDS 2.14, its issue 3878),
in rclpy with Python's lock held, so that not even Ctrl-C helps. The ports from 7000 on are shared
by all domains of a machine: one such file stops the third or fourth ROS process that is started.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rclpy.context import Context

from vla_policy_node.clock import steady

FOLDER = Path("/dev/shm")
_PORT = re.compile(r"fast(rtps|dds)_port\d+")
_INITIALIZED = 2
"""Boost.Interprocess writes this number into the first word when a segment is whole."""
_PATIENCE = 1.0
"""Making a port takes less than a millisecond; what is unfinished for so long stays so [s]."""


def remove_unfinished_ports(folder: Path = FOLDER) -> list[Path]:
    """Remove the ports whose makers died over them, and say so on stderr.

    Call it before this process joins the graph. Where there is such a port it takes a second, in
    which its maker, if alive, would finish it. A port that another user owns is only named.

    Args:
        folder: where Fast DDS keeps its shared memory.

    Returns:
        What was removed.
    """
    removed = []
    for path in sorted(folder.glob("fast*_port*")):
        try:
            if not _PORT.fullmatch(path.name) or not _stays_unfinished(path):
                continue
            path.unlink()
        except FileNotFoundError:
            continue  # another process mended it first
        except PermissionError:
            text = "is unfinished and another user's; what opens it hangs: have its owner remove it"
        else:
            removed.append(path)
            text = "was left unfinished by a process that was killed; removed"
        print(f"[shared memory] {path} {text}", file=sys.stderr, flush=True)
    return removed


def open_context(args: Sequence[str] | None = None) -> Context:
    """Return an initialised context, for a process that is no node of its own.

    Args:
        args: ROS arguments.
    """
    remove_unfinished_ports()
    context = Context()
    context.init(args=None if args is None else list(args))
    return context


def _stays_unfinished(path: Path) -> bool:
    end = steady() + _PATIENCE
    while _is_unfinished(path):
        if steady() > end:
            return True
        time.sleep(_PATIENCE / 50)
    return False


def _is_unfinished(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            word = file.read(4)
    except PermissionError:  # then Fast DDS cannot wait in it either
        return False
    return int.from_bytes(word, sys.byteorder) < _INITIALIZED
