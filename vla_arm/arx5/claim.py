"""One driver a bus: two that send frames to the same motors would pull the arm to and fro."""

from __future__ import annotations

import socket
from pathlib import Path

from vla_arm.errors import ArmError

INTERFACES = Path("/sys/class/net")


def claim(interface: str) -> socket.socket | None:
    """Be the only driver on a CAN interface, until the result is closed or the process ends.

    Args:
        interface: its name; one that this machine does not have need not be claimed.

    Raises:
        ArmError: another process has it.
    """
    if not (INTERFACES / interface).exists():
        return None
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        # An abstract name: the kernel frees it with its process, however that ends.
        lock.bind(f"\0lean_vla/{interface}")
    except OSError:
        lock.close()
        raise ArmError(
            f"CAN interface {interface}",
            got="one that another driver of ours has",
            expected="a free one: end the other launch first",
        ) from None
    return lock
