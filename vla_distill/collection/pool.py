"""Runs attempts in several processes, each with a world of its own."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from vla_distill.collection.disturbance import DisturbanceConfig
from vla_distill.collection.errors import CollectionError
from vla_distill.dataset import DatasetWriter
from vla_distill.workers import worker_pool

if TYPE_CHECKING:
    from vla_distill.collection.demonstration import Demonstrator
    from vla_distill.collection.environment_demonstration import EnvironmentDemonstrator

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LP_NUM_THREADS": "1",
}
"""One thread a process, also of the software renderer: the processes fill the cores already."""
GIVE_UP_ATTEMPTS = 20
GIVE_UP_SHARE = 0.5
"""If fewer than this share of so many attempts succeed, something is broken."""


@dataclass(frozen=True)
class Attempt:
    """What became of an episode.

    Attributes:
        task: name of the task.
        seed: seed of the scene.
        kept: whether it succeeded and is in the dataset.
        frames: number of its frames, 0 if not kept.
        noise: what disturbed it.
        refused: control ticks that the safety gate refused.
        seconds: wall time that it took; 0 if it was there already.
    """

    task: str
    seed: int
    kept: bool
    frames: int
    noise: str
    refused: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What every worker needs to know.

    Attributes:
        writer: keyword arguments of :class:`DatasetWriter`.
        noise: scale of the disturbances.
        disturbance: what they are.
        image_size: side of the images [px].
        env: a Gymnasium environment instead of our own simulator, as in ``vla collect --env``.
    """

    writer: Mapping[str, Any]
    noise: float
    disturbance: DisturbanceConfig
    image_size: int
    env: str = ""

    def demonstrator(self) -> Demonstrator | EnvironmentDemonstrator:
        """The world of one process, with its expert."""
        # Imported where they are used: the parent does without MuJoCo.
        if self.env:
            from vla_distill.collection.environment_demonstration import EnvironmentDemonstrator
            from vla_distill.environments.description import load_description

            description = load_description(self.env)
            return EnvironmentDemonstrator(description, self.noise, self.disturbance)
        from vla_distill.collection.demonstration import Demonstrator

        return Demonstrator(self.noise, self.disturbance, image_size=self.image_size)


_worker: Callable[[str, int], Attempt]


def _begin(plan: Plan) -> None:
    """Make the world of this process."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops us, after the running episode
    writer = DatasetWriter(**plan.writer)
    demonstrator = plan.demonstrator()
    # Renderers that outlive the interpreter's modules complain while they are freed.
    Finalize(demonstrator, demonstrator.close, exitpriority=10)

    def attempt(task: str, seed: int) -> Attempt:
        start = time.perf_counter()
        result = demonstrator.run(task, seed)
        if result.success:
            writer.add_episode(result.frames)
        else:
            writer.note_failure(task, seed)
        frames = len(result.frames) if result.success else 0
        seconds = time.perf_counter() - start
        noise = result.frames.noise
        return Attempt(task, seed, result.success, frames, noise, result.refused, seconds)

    _worker = attempt


def _attempt(task: str, seed: int) -> Attempt:
    return _worker(task, seed)


def attempts(
    plan: Plan,
    writer: DatasetWriter,
    tasks: Sequence[str],
    episodes: int,
    first_seed: int,
    processes: int,
) -> Iterator[Attempt]:
    """Attempt episodes until enough of every task are kept.

    Every task takes its seeds from ``first_seed`` upward, and one more for each that fails, so
    which episodes are kept does not depend on the number of processes or on interruptions.

    Args:
        plan: what the workers need.
        writer: of the dataset; knows what is done already.
        tasks: names of the tasks.
        episodes: episodes of each task.
        first_seed: of every task.
        processes: number of worker processes.

    Yields:
        Every attempt when it is finished; those of earlier runs first.

    Raises:
        CollectionError: more is written than is asked for, most attempts at a task fail, or a
            worker process died.
    """
    for task, there in Counter(task for task, _ in writer.written()).most_common(1):
        if there > episodes:
            raise CollectionError(
                f"{writer.partial}: episodes of {task!r}",
                got=there,
                expected=f"at most the {episodes} asked for: --episodes {there} or more goes on "
                f"with them, another --out begins anew",
            )
    pending = [(task, first_seed + n) for n in range(episodes) for task in tasks]
    upcoming = dict.fromkeys(tasks, first_seed + episodes)
    tried, lost = dict.fromkeys(tasks, 0), dict.fromkeys(tasks, 0)
    os.environ.update(WORKER_ENVIRONMENT)
    os.environ.setdefault("MUJOCO_GL", "egl")

    def account(attempt: Attempt) -> None:
        task = attempt.task
        tried[task] += 1
        if not attempt.kept:
            lost[task] += 1
            pending.append((task, upcoming[task]))
            upcoming[task] += 1
        if tried[task] >= GIVE_UP_ATTEMPTS and lost[task] > (1 - GIVE_UP_SHARE) * tried[task]:
            raise CollectionError(
                f"task {task!r}: attempts that succeed",
                got=f"{tried[task] - lost[task]} of {tried[task]}",
                expected=f"at least {GIVE_UP_SHARE:.0%}",
            )

    running: set[Future[Attempt]] = set()
    with worker_pool(processes, _begin, plan) as pool:
        try:
            while pending or running:
                while pending and len(running) < 2 * processes:
                    task, seed = pending.pop(0)
                    known = _known(writer, task, seed)
                    if known is None:
                        running.add(pool.submit(_attempt, task, seed))
                        continue
                    account(known)
                    yield known
                if not running:
                    continue
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    attempt = future.result()
                    account(attempt)
                    yield attempt
        except BrokenProcessPool as error:
            raise CollectionError(
                "worker process", got="killed", expected="alive; run again to go on"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _known(writer: DatasetWriter, task: str, seed: int) -> Attempt | None:
    """What an earlier run made of an episode, or None if it is still to be tried."""
    if writer.has(task, seed):
        note = writer.note(task, seed)
        return Attempt(task, seed, True, note["length"], note["noise"], 0, 0.0)
    if writer.failed(task, seed):
        return Attempt(task, seed, False, 0, "", 0, 0.0)
    return None
