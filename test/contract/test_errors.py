"""Errors say the same wherever they are raised: in this process or in a worker."""

import importlib
import pickle
from pathlib import Path

import pytest

from vla_arm.errors import ArmError
from vla_distill.errors import DistillError
from vla_policy.errors import PolicyError
from vla_sim.errors import SimulationError

ROOT = Path(__file__).parents[2]
for path in (ROOT / "vla_distill").rglob("errors.py"):
    importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def all_kinds(*kinds: type) -> list[type]:
    return [*kinds, *(each for kind in kinds for each in all_kinds(*kind.__subclasses__()))]


@pytest.mark.parametrize("kind", all_kinds(ArmError, DistillError, PolicyError, SimulationError))
def test_an_error_travels_from_a_worker_in_words(kind: type) -> None:
    error = kind("steps", got=lambda: "what cannot travel", expected=3)
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is kind and str(there) == str(error)
