"""Processes that end when the one that started them does, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from typing import Any

STARTED_BY = "LEAN_VLA_STARTED_BY"
"""Environment variable: id of the process that started what reads it, perhaps through others."""


def worker_pool(
    processes: int, begin: Callable[..., object] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """Processes that do what is submitted.

    They are spawned: forked children inherit OpenGL contexts and thread pools that are not theirs.
    A parent that is killed takes them along; those of a plain pool would work off the queue first,
    beside the command that is called again.

    Args:
        processes: how many.
        begin: called first in each.
        *arguments: of ``begin``.
    """
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, spawn, _begin, (begin, arguments))


def end_with_starter() -> None:
    """From now on end this process when that of ``STARTED_BY`` ends, if there is one."""
    if starter := os.environ.get(STARTED_BY):
        threading.Thread(target=_end_with, args=(int(starter),), daemon=True).start()


def _begin(begin: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "the pool starts every worker"
    parent.join()
    os._exit(1)


def _end_with(process: int) -> None:
    with suppress(ProcessLookupError):  # it may be gone by now
        select.select([os.pidfd_open(process)], [], [])
    os._exit(1)
