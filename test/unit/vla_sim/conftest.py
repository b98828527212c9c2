"""One world for all tests of the folder: a reset leaves nothing of the episode before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vla_sim.simulation import Simulation


@pytest.fixture(scope="package")
def simulation() -> Iterator[Simulation]:
    world = Simulation()
    yield world
    world.close()
