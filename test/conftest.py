"""What holds for all tests: the folder gives the marker, ROS traffic never crosses, none hangs."""

from __future__ import annotations

import faulthandler
import fcntl
import importlib.util
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

LEVELS = ("unit", "contract", "node", "launch", "system")
ROS_LEVELS = ("node", "launch", "system")
# A test that hangs fails after this long [s], one marked slow after three times as long;
# `@pytest.mark.timeout(...)` overrides it.
TIMEOUTS = {"unit": 60, "contract": 60, "node": 90, "launch": 180, "system": 400}
# pytest-timeout needs Python's lock; a test that hangs with it held is ended this much later [s].
GRACE = 30
# Higher domains reach into the ports that Linux hands out to programs.
DOMAINS = range(1, 101)

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def level(item: pytest.Item) -> str:
    """The folder below test/ that the item lies in."""
    parts = item.path.relative_to(Path(__file__).parent).parts
    return parts[0] if parts[0] in LEVELS else "unit"


_stderr = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real stderr: what a test writes is caught, and lost where it hangs."""
    config.stash[_stderr] = os.dup(2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test by its folder and give it that folder's time-out."""
    for item in items:
        item.add_marker(getattr(pytest.mark, level(item)))
        if item.get_closest_marker("timeout") is None:
            patience = 3 if item.get_closest_marker("slow") else 1
            item.add_marker(pytest.mark.timeout(patience * TIMEOUTS[level(item)]))


# Counts on, so that a test never meets the late leavers of the one before it.
_turn = itertools.count()


def acquire_domain() -> tuple[int, IO[str]]:
    """Take a ROS domain that no other test process on this machine holds.

    Returns:
        The domain, and a lock that frees it when closed (or when the process dies).
    """
    folder = Path(tempfile.gettempdir()) / f"lean_vla_domains_{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for _ in DOMAINS:
        domain = DOMAINS[(os.getpid() * 7 + next(_turn)) % len(DOMAINS)]
        lock = (folder / f"{domain}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError(f"no free ROS domain in {DOMAINS}: 100 tests run at once")


def shares_ros(item: pytest.Item) -> bool:
    """Whether the item uses a module's fixture, whose nodes have to stay reachable."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = [d for ds in info.name2fixturedefs.values() for d in ds] if info else []
    return any(d.scope == "module" and d.baseid.startswith("test") for d in definitions)


_held: dict[str, IO[str]] = {}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Give each ROS test a domain of its own, which its child processes inherit; end what hangs."""
    if level(item) in ROS_LEVELS:
        _isolate(item)
    marker = item.get_closest_marker("timeout")
    assert marker is not None
    limit = marker.args[0] + GRACE
    faulthandler.dump_traceback_later(limit, exit=True, file=item.config.stash[_stderr])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _isolate(item: pytest.Item) -> None:
    key = str(item.path) if shares_ros(item) else item.nodeid
    if key not in _held:
        for lock in _held.values():
            lock.close()
        _held.clear()
        domain, _held[key] = acquire_domain()
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if importlib.util.find_spec("rclpy"):
        from vla_policy_node.shared_memory import remove_unfinished_ports

        remove_unfinished_ports()  # tests kill processes


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say what is missing where a ROS test would drown in import errors."""
    # The folder of that name is found in any case, but without an origin.
    spec = importlib.util.find_spec("vla_msgs") if level(item) in ROS_LEVELS else None
    if level(item) in ROS_LEVELS and (spec is None or spec.origin is None):
        pytest.fail("cannot import vla_msgs: `make setup`, then `source env.sh`", pytrace=False)
