"""The driver without a bus: what it does where not even a process can be had."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from typing import NoReturn

import pytest

from vla_arm.arx5.driver import LAST_RETRY, Driver
from vla_arm.arx5.wire import ChildConfig
from vla_arm.joint_table import X5

PERIOD = 0.02


def test_a_child_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tries, told = [100.0], [], []

    def refuse(*_: object, **__: object) -> NoReturn:
        tries.append(now[0])
        raise BlockingIOError(11, "Resource temporarily unavailable")

    driver = Driver(ChildConfig.of_arm(X5, "can0", PERIOD), told.append, lambda: now[0])
    driver._stopped = False  # as after a start whose child was lost
    monkeypatch.setattr(subprocess, "Popen", refuse)
    for _ in range(round(60 / PERIOD)):
        assert driver.poll() == []
        now[0] += PERIOD
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert len(gaps) >= 3 and max(gaps) <= LAST_RETRY + 2 * PERIOD < LAST_RETRY + gaps[0]
    assert all(later >= earlier - 2 * PERIOD for earlier, later in pairwise(gaps))
    assert "cannot be started: [Errno 11]" in driver.trouble and told == [driver.trouble]
