"""A bus has one driver, and its end frees the bus."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vla_arm.arx5.claim import claim
from vla_arm.errors import ArmError

OTHER = """
from vla_arm.arx5.claim import claim
lock = claim("lo")
print("mine", flush=True)
input()
"""


def test_a_second_driver_is_refused_until_the_first_is_killed():
    command = [sys.executable, "-c", OTHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"mine\n"
        with pytest.raises(ArmError, match="CAN interface lo: got one that another driver"):
            claim("lo")
        other.kill()
    lock = claim("lo")
    assert lock is not None
    lock.close()
    again = claim("lo")
    assert again is not None
    again.close()


def test_an_interface_that_is_not_there_is_left_to_the_library():
    assert claim("can_of_nobody") is None
