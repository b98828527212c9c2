"""Where work is done: in this process, in several, or on machines that Ray joins.

Whatever does it, an item's result is the same: a function of the item alone, computed with one
thread. Only the caller writes results down, so nothing is written twice.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any, Protocol, TypeVar

import torch

from vla_distill.evaluation.evaluation import one_thread
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.workers import worker_pool

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Does work."""

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Results as they are ready, in any order. Function and items must be picklable."""
        ...


class Here:
    """One item after the other, in this process."""

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See :class:`Executor`."""
        with one_thread():
            for item in items:
                yield item, function(item)


class Processes:
    """Several processes of this machine."""

    def __init__(self, count: int) -> None:
        self._count = count

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See :class:`Executor`."""
        pool = worker_pool(self._count, torch.set_num_threads, 1)
        try:
            jobs = {pool.submit(function, item): item for item in items}
            for job in as_completed(jobs):
                yield jobs.pop(job), job.result()  # or all results would stay until the end
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Ray:
    """A Ray cluster; all its machines must see dataset and work folder under the same paths.

    Args:
        address: of the cluster, e.g. ``ray://head:10001`` or ``auto``; ``local`` starts one here.

    Raises:
        DataDistillationError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise DataDistillationError(
                "--ray", got="no package ray", expected="`pip install ray`, or no --ray"
            ) from error
        try:
            where = None if address == "local" else address
            self._ray.init(where, ignore_reinit_error=True, log_to_driver=False)
        except (ConnectionError, OSError, ValueError, RuntimeError) as error:
            raise DataDistillationError("--ray", got=error, expected="a cluster there") from error

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """See :class:`Executor`. Two items a core are on their way at a time."""
        remote = self._ray.remote(_one_thread_call)
        shared = self._ray.put(function)
        most = 2 * max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        waiting, flying = list(items), {}
        while waiting or flying:
            while waiting and len(flying) < most:
                item = waiting.pop(0)
                flying[remote.remote(shared, item)] = item
            done, _ = self._ray.wait(list(flying))
            for job in done:
                yield flying.pop(job), self._ray.get(job)


def make_executor(processes: int = 1, ray: str = "") -> Executor:
    """As asked for: Ray if there is an address, else processes, else this process.

    Raises:
        DataDistillationError: fewer than one process; or see :class:`Ray`.
    """
    if processes < 1:
        raise DataDistillationError("processes", got=processes, expected="1 or more")
    if ray:
        return Ray(ray)
    return Processes(processes) if processes > 1 else Here()


def _one_thread_call(function: Callable[[Any], Any], item: Any) -> Any:
    torch.set_num_threads(1)
    return function(item)
