"""A real port of Fast DDS that its maker did not finish, in this test's own domain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_policy_node.shared_memory import FOLDER

PLAIN = "from rclpy.context import Context; context = Context(); context.init()"
OURS = "from vla_policy_node.shared_memory import open_context; context = open_context()"
JOIN = "from rclpy.node import Node; Node('late', context=context); print('joined', flush=True)"
HANGS = 8.0
"""A process that joins takes 1 s here [s]."""


@pytest.fixture
def unfinished() -> Iterator[Path]:
    """The port in which the first participant of the domain listens."""
    path = FOLDER / f"fastrtps_port{7411 + 250 * int(os.environ['ROS_DOMAIN_ID'])}"
    path.unlink(missing_ok=True)
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def join(how: str, timeout: float) -> str:
    command = [sys.executable, "-c", f"{how}; {JOIN}"]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=timeout, check=True
    ).stdout


def test_a_port_left_unfinished_hangs_rclpy_and_not_us(unfinished):
    """If the first half fails, Fast DDS has mended this itself, and the module can go."""
    with pytest.raises(subprocess.TimeoutExpired):
        join(PLAIN, HANGS)
    assert unfinished.exists()
    assert "joined" in join(OURS, 30.0)
